"""The CNN at several learning rates, with the same initial weights and batch order; and the best of the rates."""

from pathlib import Path
from typing import TYPE_CHECKING

from realwaste.core.files import read_csv, read_json, write_csv, write_json
from realwaste.core.log import logger
from realwaste.runtime import device, resume
from realwaste.training import sweep, sweep_table
from realwaste.training.cnn_recipe import CnnArchitecture, CnnRecipe
from realwaste.training.schedule import Schedule
from stages.launcher import dependencies

if TYPE_CHECKING:
    import pandas as pd

    from stages.launcher.params import Params


PARAMS = [
    "base.seed",
    "base.deterministic",
    "base.precision",
    "base.engine",
    "lr_sweep",
    "train_cnn.image_size",
    "train_cnn.batch_size",
    "train_cnn.optimizer",
    "train_cnn.normalization",
    "train_cnn.batch_norm_momentum",
    "train_cnn.activation",
    "train_cnn.shuffle",
    "train_cnn.cache",
]


def main(params: "Params") -> None:
    section, cnn, base = params.lr_sweep, params.train_cnn, params.base
    run_sweep, policy = sweep.create_runner(base.engine), device.resolve_precision(base.precision)
    device_record = device.record(policy, base.engine)
    device.log_device(device_record)
    splits, dataset = read_csv(Path("data/splits.csv")), read_json(Path("data/dataset.json"))["dataset"]
    # The report's CNN, without the augmentation, dropout and other options of train_cnn.
    architecture = CnnArchitecture(cnn.image_size, cnn.batch_norm_momentum, cnn.normalization, cnn.activation)
    schedule = Schedule(section.epochs, cnn.batch_size, 0.0, cnn.shuffle, base.seed, policy, cnn.optimizer)
    recipe = CnnRecipe(architecture, schedule, cnn.cache)
    job = sweep.Sweep(section.learning_rates, splits, Path("data/raw"), recipe, base.deterministic, section.prune)

    def write_history(table: "pd.DataFrame") -> None:
        write_csv(Path("plots/data/lr_sweep.csv"), table[sweep_table.COLUMNS].assign(dataset=dataset))

    work = {"parameters": [vars(section), vars(cnn)], "base": vars(base), "precision": policy}
    with resume.progress_folder("lr_sweep", work, dependencies.files("lr_sweep")) as checkpoint_dir:
        result = run_sweep(job, checkpoint_dir=checkpoint_dir, on_epoch_end=write_history)
        seconds = float(result.table.groupby("learning_rate")["seconds"].first().sum())
        choice = sweep_table.choose_best(result.table)
        write_history(result.table)
        facts = {"dataset": dataset, "machine": device_record, "cache": result.cache, "seconds": round(seconds, 2)}
        write_json(Path("metrics/lr_sweep.json"), sweep_table.summary(result.table, choice) | facts)
    logger.info("best learning rate %g: validation loss %.4f in epoch %d", choice.rate, choice.val_loss, choice.epoch)
