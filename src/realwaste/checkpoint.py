"""The state of a training between its epochs, in one file that is whole or absent."""

import time
from pathlib import Path

import keras
import numpy as np

from realwaste import arrays


class Checkpoint(keras.callbacks.Callback):
    """Writes weights, optimizer and history at the end of every epoch, and brings them back.

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
        stored = arrays.read(self.path) if self.path is not None else None
        if stored is not None:
            for variable, value in zip(_variables(model), stored[1:], strict=True):
                variable.assign(value)
            self.seconds, self.rows = float(stored[0][0, -1]), stored[0][:, :-1].tolist()
        return len(self.rows)

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        self._started = time.perf_counter() - self.seconds

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self.rows.append([float((logs or {})[name]) for name in self.names])
        self.seconds = time.perf_counter() - self._started
        if self.path is not None:
            history = np.array([[*row, self.seconds] for row in self.rows])
            arrays.write(self.path, [history, *(variable.numpy() for variable in _variables(self.model))])


def _variables(model: keras.Model) -> list[keras.Variable]:
    return [*model.variables, *model.optimizer.variables]
