"""The CNN at several learning rates, each from the same weights and batch order: one table, one best rate."""

from pathlib import Path
from typing import TYPE_CHECKING

from realwaste import device, precision, resume, sweep, training, trials
from realwaste.atomic import write_csv, write_json
from realwaste.engines import sweeping
from realwaste.log import logger
from realwaste.records import read_json
from realwaste.tables import read_csv
from stages import dependencies

if TYPE_CHECKING:
    import pandas as pd

    from stages.params import Params


def main(params: "Params") -> None:
    own, base = params.lr_sweep, params.base
    try_all, policy = sweeping.of(base.engine), precision.resolve(base.precision)
    made = device.record(policy, base.engine)
    device.say(made)
    splits, dataset = read_csv(Path("data/splits.csv")), read_json(Path("data/dataset.json"))["dataset"]
    job = trials.Sweep(
        own.learning_rates,
        splits,
        Path("data/raw"),
        own.image_size,
        own.cache,
        own.batch_norm_momentum,
        training.Schedule(own.epochs, own.batch_size, 0, own.shuffle, base.seed, dtype_policy=policy),
        base.deterministic,
        own.prune,
    )

    def show(table: "pd.DataFrame") -> None:
        write_csv(Path("plots/data/lr_sweep.csv"), table[sweep.COLUMNS].assign(dataset=dataset))

    work = {"parameters": vars(own), "base": vars(base), "precision": policy}
    with resume.state("lr_sweep", work, dependencies.files("lr_sweep")) as kept:
        tried = try_all(job, kept=kept, live=show)
        seconds = float(tried.table.groupby("learning_rate")["seconds"].first().sum())
        choice = sweep.best(tried.table)
        show(tried.table)
        about = {"dataset": dataset, "machine": made, "cache": tried.cache, "seconds": round(seconds, 2)}
        write_json(Path("metrics/lr_sweep.json"), sweep.summary(tried.table, choice) | about)
    logger.info("best learning rate %g: validation loss %.4f in epoch %d", choice.rate, choice.val_loss, choice.epoch)
