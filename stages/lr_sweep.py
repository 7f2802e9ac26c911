"""The CNN at several learning rates, each from the same weights and batch order: one table, one best rate."""

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


def main(params: "Params") -> None:
    own, seed = params.lr_sweep, params.base.seed
    splits = read_csv(Path("data/splits.csv"))
    train, val, cache = pictures(splits, Path("data/raw"), own.image_size, own.cache)
    policy = precision.resolve(params.base.precision)
    facts = {"parameters": vars(own), "base": vars(params.base), "precision": policy}
    with resume.state("lr_sweep", facts, [Path("data/splits.csv")]) as kept:
        for rate in own.learning_rates:
            finished, checkpoint = kept / f"rate_{rate:g}.csv", kept / f"rate_{rate:g}.npz"
            if finished.is_file():
                continue
            keras.utils.clear_session()  # else every rate keeps the memory of those before it
            training.make_repeatable(seed, deterministic=params.base.deterministic)
            model = cnn.build(own.image_size, len(classes_of(splits)), batch_norm_momentum=own.batch_norm_momentum)
            schedule = training.Schedule(own.epochs, own.batch_size, rate, own.shuffle, seed, dtype_policy=policy)
            trained = training.fit(model, train, val, schedule, checkpoint)
            logger.info("learning rate %g: %s", rate, trained.line())
            diverged = trained.diverged_epoch is not None
            own_rows = trained.history.assign(diverged=diverged, learning_rate=rate, seconds=trained.seconds)
            write_csv(finished, own_rows)
            checkpoint.unlink()
        tables = [read_csv(kept / f"rate_{rate:g}.csv") for rate in own.learning_rates]
        _write(pd.concat(tables, ignore_index=True), {"precision": policy, "cache": cache})


def _write(rows: pd.DataFrame, facts: dict[str, str]) -> None:
    dataset = read_json(Path("data/dataset.json"))["dataset"]
    table = rows[["learning_rate", "epoch", *training.METRICS, "diverged"]]
    choice = sweep.best(table)
    seconds = rows.groupby("learning_rate")["seconds"].first().sum()
    write_csv(Path("plots/data/lr_sweep.csv"), table.assign(dataset=dataset))
    summary = sweep.summary(table, choice) | {"dataset": dataset} | facts | {"seconds": round(float(seconds), 2)}
    write_json(Path("metrics/lr_sweep.json"), summary)
    logger.info("best learning rate %g: validation loss %.4f in epoch %d", choice.rate, choice.val_loss, choice.epoch)
