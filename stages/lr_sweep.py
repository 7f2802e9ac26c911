"""The CNN at several learning rates, each from the same weights and batch order: one table, one best rate."""

from pathlib import Path
from typing import TYPE_CHECKING

import keras
import pandas as pd

from realwaste import cnn, precision, sweep, training
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
    tables, seconds = [], 0.0
    for rate in own.learning_rates:
        keras.utils.clear_session()  # else every rate keeps the memory of those before it
        training.make_repeatable(seed, deterministic=params.base.deterministic)
        model = cnn.build(own.image_size, len(classes_of(splits)), batch_norm_momentum=own.batch_norm_momentum)
        schedule = training.Schedule(own.epochs, own.batch_size, rate, own.shuffle, seed, dtype_policy=policy)
        trained = training.fit(model, train, val, schedule)
        seconds += trained.seconds
        logger.info("learning rate %g: %s", rate, trained.line())
        tables.append(trained.history.assign(diverged=trained.diverged_epoch is not None, learning_rate=rate))

    dataset = read_json(Path("data/dataset.json"))["dataset"]
    table = pd.concat(tables, ignore_index=True)[["learning_rate", "epoch", *training.METRICS, "diverged"]]
    choice = sweep.best(table)
    write_csv(Path("plots/data/lr_sweep.csv"), table.assign(dataset=dataset))
    facts = {"dataset": dataset, "precision": policy, "cache": cache, "seconds": round(seconds, 2)}
    write_json(Path("metrics/lr_sweep.json"), sweep.summary(table, choice) | facts)
    logger.info("best learning rate %g: validation loss %.4f in epoch %d", choice.rate, choice.val_loss, choice.epoch)
