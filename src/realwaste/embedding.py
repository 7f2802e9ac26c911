"""A frozen backbone gives an image the same vector in every epoch: computed once, kept, trained on in seconds."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rich.progress import track

from realwaste import arrays
from realwaste.atomic import replacing
from realwaste.batches import steps
from realwaste.errors import UserError
from realwaste.images import read_ahead
from realwaste.log import console, is_quiet

Vectors = NDArray[np.float32]
KEEP_EVERY = 16  # batches


@dataclass(frozen=True)
class Embeddings:
    """vectors (n, width) float32, one a path; seconds that they took to compute, by all runs together."""

    paths: NDArray[np.str_]
    vectors: Vectors
    seconds: float = 0.0

    def of(self, paths: Sequence[str]) -> Vectors:
        """The vectors of these paths, in this order; KeyError for a path that is not here."""
        return self.vectors[pd.Series(range(len(self.paths)), index=self.paths).loc[list(paths)]]


def embed(
    model: keras.Model, root: Path, paths: Sequence[str], *, image_size: int, batch_size: int, kept: Path | None = None
) -> Embeddings:
    """Push every image of root/<path> through `model` (uint8 RGB in, one vector out), decoding ahead of it.

    Args:
        kept: a folder to leave vectors in every few batches, and to go on from if there are some.
    """
    vectors = np.empty((len(paths), model.output_shape[-1]), np.float32)
    done, seconds = _restore(vectors, kept)
    start, began = done, time.perf_counter() - seconds
    pictures = read_ahead([root / path for path in paths[done:]], image_size, batch_size)
    shown = steps(len(paths) - done, batch_size)
    for pixels in track(pictures, "embedding", total=shown, console=console, disable=is_quiet()):
        # Every batch has one shape, the last one filled up with its first picture: another shape would be traced anew.
        filled = np.concatenate([pixels, np.repeat(pixels[:1], batch_size - len(pixels), axis=0)])
        vectors[done : done + len(pixels)] = model.predict_on_batch(filled)[: len(pixels)]
        done += len(pixels)
        seconds = time.perf_counter() - began
        if kept is not None and (done - start >= KEEP_EVERY * batch_size or done == len(paths)):
            arrays.write(_part(kept, start), [vectors[start:done], np.array(seconds)])
            start = done
    if not np.isfinite(vectors).all():
        raise UserError(
            f"The backbone {model.name} must give finite vectors.", "Check its weights file and its preprocessing."
        )
    return Embeddings(np.asarray(paths, dtype=np.str_), vectors, seconds)


def _restore(vectors: Vectors, kept: Path | None) -> tuple[int, float]:
    """Fill in the rows that a run before left in `kept`; how many from the start on, and the seconds they took."""
    done, seconds = 0, 0.0
    while kept is not None and (part := arrays.read(_part(kept, done))) is not None:
        rows, spent = part
        vectors[done : done + len(rows)] = rows
        done, seconds = done + len(rows), float(spent)
    return done, seconds


def _part(kept: Path, start: int) -> Path:
    return kept / f"rows_{start:09d}.npy"


def save(path: Path, embeddings: Embeddings) -> None:
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez(file, path=embeddings.paths, vector=embeddings.vectors)


def load(path: Path) -> Embeddings:
    with np.load(path, allow_pickle=False) as stored:
        return Embeddings(stored["path"], stored["vector"])
