"""The state of a training between its epochs, in one file that is whole or absent."""

import time
import zipfile
from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray

from realwaste.atomic import replacing
from realwaste.log import logger

MOST = 0.05


class Checkpoint(keras.callbacks.Callback):
    """Writes weights, optimizer and history at the end of an epoch, and brings them back.

    It does so after every epoch that is not short beside the writing, which takes MOST of the time at most: the CNN's
    0.4 GB take 0.4 s, an epoch on RealWaste 20 s, and one on 200 pictures 1.5 s, of which then every sixth is kept.

    With an order of batches that depends on the epoch alone (realwaste.batches), a training that goes on from here ends
    bit for bit as one that was never stopped. Keras' BackupAndRestore does not: it knows no order of batches.

    Attributes:
        rows: one an epoch, in the order of `names`.
        seconds: spent on those epochs, by all runs together.
    """

    def __init__(self, path: Path | None, names: list[str]) -> None:
        super().__init__()
        self.path, self.names = path, names
        self.rows: list[list[float]] = []
        self.seconds = 0.0

    def restore(self, model: keras.Model) -> int:
        """Bring `model`, compiled, to the last epoch that was kept; the number of epochs done."""
        model.optimizer.build(model.trainable_variables)
        stored = self._stored()
        if stored is not None:
            for variable, value in zip(_variables(model), stored[1:], strict=True):
                variable.assign(value)
            self.seconds, self.rows = float(stored[0][0, -1]), stored[0][:, :-1].tolist()
        return len(self.rows)

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        self._resumed, self._started = self.seconds, time.perf_counter()
        self._written, self._writing = self._started, 0.0

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self.rows.append([float((logs or {})[name]) for name in self.names])
        ended = time.perf_counter()
        self.seconds = self._resumed + ended - self._started
        if self.path is not None and self._writing <= MOST * (ended - self._written):
            self._write(self.path)
            self._written = time.perf_counter()
            self._writing = self._written - ended

    def _write(self, path: Path) -> None:
        history = np.array([[*row, self.seconds] for row in self.rows])
        with replacing(path) as temporary, temporary.open("wb") as file:
            np.savez(file, history, *(variable.numpy() for variable in _variables(self.model)))

    def _stored(self) -> list[NDArray[np.generic]] | None:
        if self.path is None or not self.path.is_file():
            return None
        try:
            with self.path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
                return [stored[f"arr_{index}"] for index in range(len(stored.files))]
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            # A machine that lost its power may have kept the name and not the bytes.
            logger.warning("%s is damaged (%s): the training starts anew", self.path, error)
            return None


def _variables(model: keras.Model) -> list[keras.Variable]:
    return [*model.variables, *model.optimizer.variables]
