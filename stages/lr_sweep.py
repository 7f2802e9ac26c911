"""The CNN of train_cnn at several learning rates, each from the same weights and batch order; and the best rate."""

from pathlib import Path
from typing import TYPE_CHECKING

from realwaste.core.files import read_csv, read_json, write_csv, write_json
from realwaste.core.log import logger
from realwaste.runtime import device, precision, resume
from realwaste.training import sweep, sweep_table, sweep_trials, training_loop
from stages.launcher import dependencies

if TYPE_CHECKING:
    import pandas as pd

    from stages.launcher.params import Params


def main(params: "Params") -> None:
    own, cnn, base = params.lr_sweep, params.train_cnn, params.base
    try_all, policy = sweep.of(base.engine), precision.resolve(base.precision)
    made = device.record(policy, base.engine)
    device.say(made)
    splits, dataset = read_csv(Path("data/splits.csv")), read_json(Path("data/dataset.json"))["dataset"]
    job = sweep_trials.Sweep(
        own.learning_rates,
        splits,
        Path("data/raw"),
        cnn.image_size,
        cnn.cache,
        {name: getattr(cnn, name) for name in ("batch_norm_momentum", "normalization", "activation")},
        training_loop.Schedule(
            own.epochs, cnn.batch_size, 0.0, cnn.shuffle, base.seed, dtype_policy=policy, optimizer=cnn.optimizer
        ),
        base.deterministic,
        own.prune,
    )

    def show(table: "pd.DataFrame") -> None:
        write_csv(Path("plots/data/lr_sweep.csv"), table[sweep_table.COLUMNS].assign(dataset=dataset))

    work = {"parameters": [vars(own), vars(cnn)], "base": vars(base), "precision": policy}
    with resume.state("lr_sweep", work, dependencies.files("lr_sweep")) as kept:
        tried = try_all(job, kept=kept, live=show)
        seconds = float(tried.table.groupby("learning_rate")["seconds"].first().sum())
        choice = sweep_table.best(tried.table)
        show(tried.table)
        about = {"dataset": dataset, "machine": made, "cache": tried.cache, "seconds": round(seconds, 2)}
        write_json(Path("metrics/lr_sweep.json"), sweep_table.summary(tried.table, choice) | about)
    logger.info("best learning rate %g: validation loss %.4f in epoch %d", choice.rate, choice.val_loss, choice.epoch)
