"""The CNN at several learning rates, each from the same weights and batch order: one table, one best rate."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import keras
import pandas as pd

from realwaste import cnn, precision, resume, sweep, training
from realwaste.atomic import write_csv, write_json
from realwaste.log import logger
from realwaste.records import read_json
from realwaste.samples import classes_of, pictures
from realwaste.tables import read_csv

if TYPE_CHECKING:
    from stages.params import Params


TABLE = Path("plots/data/lr_sweep.csv")


def main(params: "Params") -> None:
    own, seed = params.lr_sweep, params.base.seed
    splits, dataset = read_csv(Path("data/splits.csv")), read_json(Path("data/dataset.json"))["dataset"]
    train, val, cache = pictures(splits, Path("data/raw"), own.image_size, own.cache)
    policy = precision.resolve(params.base.precision)
    work = {"parameters": vars(own), "base": vars(params.base), "precision": policy}
    with resume.state("lr_sweep", work, [Path("data/splits.csv")]) as kept:
        done: list[pd.DataFrame] = []
        for rate in own.learning_rates:
            finished, checkpoint = kept / f"rate_{rate:g}.csv", kept / f"epochs_{rate:e}"
            if not finished.is_file():
                keras.utils.clear_session()  # else every rate keeps the memory of those before it
                training.make_repeatable(seed, deterministic=params.base.deterministic)
                model = cnn.build(own.image_size, len(classes_of(splits)), batch_norm_momentum=own.batch_norm_momentum)
                schedule = training.Schedule(own.epochs, own.batch_size, rate, own.shuffle, seed, dtype_policy=policy)
                live = partial(_show, done, rate, dataset)
                trained = training.fit(model, train, val, schedule, checkpoint=checkpoint, live=live)
                logger.info("learning rate %g: %s", rate, trained.line())
                write_csv(finished, sweep.rows(rate, trained.history).assign(seconds=trained.seconds))
                for old in kept.glob(f"{checkpoint.name}.*"):
                    old.unlink()
            done.append(read_csv(finished))
        table = pd.concat(done, ignore_index=True)
        seconds = float(table.groupby("learning_rate")["seconds"].first().sum())
        choice = sweep.best(table)
        write_csv(TABLE, table[sweep.COLUMNS].assign(dataset=dataset))
        about = {"dataset": dataset, "precision": policy, "cache": cache, "seconds": round(seconds, 2)}
        write_json(Path("metrics/lr_sweep.json"), sweep.summary(table, choice) | about)
    logger.info("best learning rate %g: validation loss %.4f in epoch %d", choice.rate, choice.val_loss, choice.epoch)


def _show(done: list[pd.DataFrame], rate: float, dataset: str, history: pd.DataFrame) -> None:
    """The table so far, for `dvc plots` to draw while the sweep runs."""
    table = pd.concat([*done, sweep.rows(rate, history)], ignore_index=True)
    write_csv(TABLE, table[sweep.COLUMNS].assign(dataset=dataset))
