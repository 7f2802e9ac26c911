"""Runs a learning-rate sweep in a process that a test can time out or kill.

Usage: `python sweep_job.py ENGINE FOLDER [--prune]`. It reads the images of two classes in FOLDER/pictures, writes
FOLDER/<engine>.csv, and resumes from the checkpoints in FOLDER/kept_<engine>.
"""

import sys
from pathlib import Path

import ray_jobs

from realwaste.core.files import write_csv
from realwaste.dataset import manifest, split
from realwaste.training import sweep
from realwaste.training.cnn_recipe import CnnArchitecture, CnnRecipe
from realwaste.training.schedule import Schedule

EPOCHS, RATES = 6, [0.0001, 0.001, 0.01, 1e30]


def try_rates(engine: str, folder: Path) -> None:
    table, *_ = manifest.scan(folder / "pictures")
    splits = split.stratified(table, train=0.6, val=0.2, test=0.2, seed=1)
    schedule = Schedule(EPOCHS, 8, 0.0, True, 3)
    recipe, prune = CnnRecipe(CnnArchitecture(48, 0.9), schedule), "--prune" in sys.argv
    job = sweep.Sweep(RATES, splits, folder / "pictures", recipe, deterministic=True, prune=prune)
    checkpoint_dir = folder / f"kept_{engine}"
    checkpoint_dir.mkdir(exist_ok=True)
    result = sweep.create_runner(engine)(
        job, checkpoint_dir=checkpoint_dir, on_epoch_end=lambda table: write_csv(folder / "live.csv", table)
    )
    write_csv(folder / f"{engine}.csv", result.table)


if __name__ == "__main__":
    ray_jobs.run(try_rates)
