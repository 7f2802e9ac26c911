"""The state of a training between its epochs, in one file that is whole or absent."""

import time
from pathlib import Path

import keras
import numpy as np

from realwaste import arrays


class Checkpoint(keras.callbacks.Callback):
    """Writes weights, optimizer and history at the end of every epoch, and brings them back.

    With an order of batches that depends on the epoch alone (realwaste.batches), a training that goes on from here ends
    bit for bit as one that was never stopped. Keras' BackupAndRestore does not: it knows no order of batches, and
    EarlyStopping forgets its state.

    Attributes:
        rows: one an epoch, in the order of `names`.
        seconds: spent on those epochs, by all runs together.
        patience: epochs without a lower validation loss after which the training ends; None for no end.
    """

    def __init__(self, path: Path | None, names: list[str], patience: int | None = None) -> None:
        super().__init__()
        self.path, self.names, self.patience = path, names, patience
        self.rows: list[list[float]] = []
        self.seconds = 0.0
        self._best: arrays.Arrays = []

    def restore(self, model: keras.Model) -> int:
        """Bring `model`, compiled, to the last epoch that was kept; the number of epochs done."""
        model.optimizer.build(model.trainable_variables)
        stored = arrays.read(self.path) if self.path is not None else None
        if stored is not None:
            variables = _variables(model)
            for variable, value in zip(variables, stored[1:], strict=False):
                variable.assign(value)
            self.seconds, self.rows = float(stored[0][0, -1]), stored[0][:, :-1].tolist()
            self._best = stored[1 + len(variables) :]
        return len(self.rows)

    def best_epoch(self) -> int:
        """From 1: that of the lowest validation loss, the first of equals; the last where there is no patience."""
        if self.patience is None:
            return len(self.rows)
        return int(np.argmin([row[self.names.index("val_loss")] for row in self.rows])) + 1

    def is_out_of_patience(self) -> bool:
        return self.patience is not None and bool(self.rows) and len(self.rows) - self.best_epoch() >= self.patience

    def take_best(self, model: keras.Model) -> None:
        """Give `model` the weights of the best epoch, where that is not the last."""
        if self._best and self.best_epoch() < len(self.rows) and np.isfinite(self.rows).all():
            model.set_weights(self._best)

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        self._started = time.perf_counter() - self.seconds

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self.rows.append([float((logs or {})[name]) for name in self.names])
        self.seconds = time.perf_counter() - self._started
        if self.patience is not None and self.best_epoch() == len(self.rows):
            self._best = self.model.get_weights()
        if self.path is not None:
            history = np.array([[*row, self.seconds] for row in self.rows])
            variables = [variable.numpy() for variable in _variables(self.model)]
            arrays.write(self.path, [history, *variables, *self._best])
        if self.is_out_of_patience():
            self.model.stop_training = True


def _variables(model: keras.Model) -> list[keras.Variable]:
    return [*model.variables, *model.optimizer.variables]
