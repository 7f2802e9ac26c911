"""What a model costs to keep and to ask: the resource rows of the report's Table 1, measured."""

import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from realwaste.images.reader import read
from realwaste.models.session import Session

if TYPE_CHECKING:
    import keras


def measure(model: "keras.Model", asked: Session, file: Path, image: Path, *, repeats: int) -> dict[str, Any]:
    """Parameters, size of the saved model, and the median time from an image file to its class, one image at a time."""
    seconds = []
    for _ in range(repeats + 1):
        started = time.perf_counter()
        asked(read(image, asked.facts.image_size)[np.newaxis])
        seconds.append(time.perf_counter() - started)
    return {
        "parameters": model.count_params(),
        "trainable_parameters": sum(int(np.prod(weight.shape)) for weight in model.trainable_weights),
        "file_mb": round(file.stat().st_size / 1e6, 2),
        # The first call may build a graph.
        "latency_ms": round(statistics.median(seconds[1:]) * 1000, 2),
    }
