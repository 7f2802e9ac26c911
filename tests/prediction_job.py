"""Runs `realwaste predict FOLDER/shards --output FOLDER/<engine>` in a process that a test can kill.

Usage: `python prediction_job.py ENGINE FOLDER [PARTS]`. With PARTS, Ray's actors wait after about that many parts, as
long as the folder FOLDER/held exists.
"""

import sys
import time
from pathlib import Path
from typing import Any

from realwaste.cli import predict_parts
from realwaste.core import log
from realwaste.core.errors import UserError
from realwaste.models import ray_predictions


def hold_after(parts: int, output: Path, held: Path) -> None:
    """Let the actors wait once `output` has `parts` parts, as long as the folder `held` exists."""

    class HeldActor(ray_predictions.PredictionActor):
        def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
            while held.exists() and len(list(output.glob("part-*"))) >= parts:
                time.sleep(0.05)
            return super().__call__(batch)

    ray_predictions.PredictionActor = HeldActor  # type: ignore[misc]


def main() -> int:
    engine, folder = sys.argv[1], Path(sys.argv[2])
    log.setup()
    if len(sys.argv) > 3:
        hold_after(int(sys.argv[3]), folder / engine, folder / "held")
    try:
        predict_parts.run([str(folder / "shards")], str(folder / engine), engine, str(folder / "cnn.keras"), 0.5)
    except UserError as error:
        log.logger.error("%s", error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
