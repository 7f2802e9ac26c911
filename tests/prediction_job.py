"""Runs `realwaste predict FOLDER/shards --output FOLDER/<engine>` in a process that a test can kill.

Usage: `python prediction_job.py ENGINE FOLDER [PARTS]`. With PARTS, Ray's actors wait after about that many parts, as
long as the folder FOLDER/held exists.
"""

import sys
import time
from pathlib import Path
from typing import Any

import ray_jobs

from realwaste.cli import predict_parts
from realwaste.models import ray_predictions


def hold_after(parts: int, output: Path, held: Path) -> None:
    """Let the actors wait once `output` has `parts` parts, as long as the folder `held` exists."""

    class HeldActor(ray_predictions.PredictionActor):
        def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
            while held.exists() and len(list(output.glob("part-*"))) >= parts:
                time.sleep(0.05)
            return super().__call__(batch)

    ray_predictions.PredictionActor = HeldActor  # type: ignore[misc]


def predict(engine: str, folder: Path) -> None:
    if len(sys.argv) > 3:
        hold_after(int(sys.argv[3]), folder / engine, folder / "held")
    predict_parts.run([str(folder / "shards")], str(folder / engine), engine, str(folder / "cnn.keras"), 0.5)


if __name__ == "__main__":
    ray_jobs.run(predict)
