"""How long a user waits for `realwaste`: whole processes, from the command to its result."""

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import keras

from benchmarks.parts.child import environment
from realwaste.core.files import read_csv
from realwaste.dataset.labels import classes_of
from realwaste.models import cnn, feature_extractor, model_file
from realwaste.models.model_file import Classifier, ModelMetadata
from realwaste.runtime import device
from realwaste.training import head

TIMES = 5
COMMAND = [sys.executable, "-m", "realwaste"]


def time_commands(work: str, backbone: str | None, size: int) -> dict[str, Any]:
    """Seconds of predict (first and later runs), of serve until it answers, and of evaluate on the data set.

    Medians of TIMES runs; evaluate runs once. The cache is empty for a first predict.

    Args:
        backbone: see feature_extractor.build; None for the report's CNN.
    """
    folder, raw = Path(work) / "waiting", Path(work) / "data/raw"
    splits = read_csv(Path(work) / "data/splits.csv")
    file = folder / f"{Path(backbone or 'cnn').stem}.keras"
    _save(file, backbone, size, tuple(classes_of(splits)))
    photo = str(raw / splits["path"].iloc[0])
    first_runs = []
    for _ in range(TIMES):
        with tempfile.TemporaryDirectory() as cache:
            first_runs.append(_run(["predict", photo, "-m", str(file)], cache))
    with tempfile.TemporaryDirectory() as cache:
        _run(["predict", photo, "-m", str(file)], cache)
        later_runs = [_run(["predict", photo, "-m", str(file)], cache) for _ in range(TIMES)]
        serve_starts = [_seconds_until_served(file, cache) for _ in range(TIMES)]
        evaluate_seconds = _run(["evaluate", str(raw), "-m", str(file)], cache)
    return {
        "precision": device.resolve_precision("auto"),
        "images": len(splits),
        "predict_first_seconds": statistics.median(first_runs),
        "predict_seconds": statistics.median(later_runs),
        "serve_seconds": statistics.median(serve_starts),
        "evaluate_seconds": evaluate_seconds,
    }


def _save(file: Path, backbone: str | None, size: int, classes: tuple[str, ...]) -> None:
    keras.utils.set_random_seed(42)
    if backbone is None:
        model = cnn.build(size, len(classes), batch_norm_momentum=0.9)
    else:
        extractor = feature_extractor.build(backbone, size, None, seed=42)
        model = head.join(extractor, head.build(extractor.output_shape[-1], 128, len(classes)))
    metadata = ModelMetadata(
        "irv2", classes, size, "drawn", file.stem, "random", precision=device.resolve_precision("auto"), batch_size=8
    )
    model_file.save(file, Classifier(model, metadata))


def _run(arguments: list[str], cache: str) -> float:
    started = time.perf_counter()
    subprocess.run([*COMMAND, *arguments], env=_environment(cache), capture_output=True, check=True)  # noqa: S603
    return time.perf_counter() - started


def _seconds_until_served(file: Path, cache: str) -> float:
    started = time.perf_counter()
    command = [*COMMAND, "serve", "-m", str(file), "--port", "0"]
    with subprocess.Popen(command, env=_environment(cache), stderr=subprocess.PIPE, text=True) as process:  # noqa: S603
        if not any("answers at" in line for line in process.stderr or ()):
            raise RuntimeError("`realwaste serve` ended before it answered")
        seconds = time.perf_counter() - started
        process.kill()
    return seconds


def _environment(cache: str) -> dict[str, str]:
    return environment() | {"REALWASTE_CACHE": cache, "COLUMNS": "300"}
