"""The state of a training after each epoch, in two files that are written alternately."""

import itertools
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from realwaste.core.log import logger
from realwaste.runtime import array_file


class Checkpoint(keras.callbacks.Callback):
    """A Keras callback that saves weights, optimizer state and history after every epoch, and restores them.

    It overwrites the older of two files, so a process that is killed while writing leaves the previous epoch intact.

    The order of batches depends only on seed and epoch (realwaste.training.batches), so a resumed training ends bit for
    bit as one that was never interrupted. With Keras' BackupAndRestore it would not: that does not restore the order of
    batches, and EarlyStopping loses its state.

    Attributes:
        rows: the history, one row for each epoch, in the order of `names`.
        seconds: the time spent on those epochs, by all runs together.
        patience: epochs without a lower validation loss after which the training ends; None for no end.
        keep: last or best, see schedule.Schedule.
    """

    def __init__(self, path: Path | None, names: list[str], patience: int | None = None, keep: str = "last") -> None:
        super().__init__()
        self.path, self.names, self.patience, self.keep = path, names, patience, keep
        self.rows: list[list[float]] = []
        self.seconds = 0.0
        self._best: array_file.Arrays = []

    def restore(self, model: keras.Model) -> int:
        """Restore the compiled `model` to the last saved epoch; return the number of epochs done."""
        if not model.optimizer.built:  # Keras' LossScaleOptimizer would create its variables again
            model.optimizer.build(model.trainable_variables)
        stored = max(self._stored(), key=lambda arrays: len(arrays[0]), default=None)
        if stored is not None:
            variables = _variables(model)
            for variable, value in zip(variables, stored[1:], strict=False):
                variable.assign(value)
            self.seconds, self.rows = float(stored[0][0, -1]), stored[0][:, :-1].tolist()
            self._best = stored[1 + len(variables) :]
        return len(self.rows)

    def best_epoch(self) -> int:
        """The epoch (from 1) whose weights the model gets, the first of equals: see Schedule's patience and keep."""
        if not self._tracks_best:
            return len(self.rows)
        loss, accuracy = (self.names.index(name) for name in ("val_loss", "val_accuracy"))
        ranks = [(0.0 if self.patience is not None else -row[accuracy], row[loss]) for row in self.rows]
        return min(range(len(ranks)), key=ranks.__getitem__) + 1

    @property
    def _tracks_best(self) -> bool:
        """Whether the best epoch need not be the last."""
        return self.patience is not None or self.keep == "best"

    def has_diverged(self) -> bool:
        """Whether any loss or accuracy, of training or validation, is not finite."""
        return not np.isfinite(self.rows).all()

    def is_out_of_patience(self) -> bool:
        """Whether the last `patience` epochs brought no lower validation loss."""
        return self.patience is not None and bool(self.rows) and len(self.rows) - self.best_epoch() >= self.patience

    def is_finished(self, epochs: int) -> bool:
        """Whether the training has ended: after all epochs, out of patience, or diverged."""
        return len(self.rows) >= epochs or self.has_diverged() or self.is_out_of_patience()

    def restore_best(self, model: keras.Model) -> None:
        """Set the weights of `model` to those of the best epoch, if that is not the last."""
        if self._best and self.best_epoch() < len(self.rows) and not self.has_diverged():
            model.set_weights(self._best)

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        self._started = time.perf_counter() - self.seconds

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self.rows.append([float((logs or {})[name]) for name in self.names])
        self.seconds = time.perf_counter() - self._started
        if self._tracks_best and self.best_epoch() == len(self.rows):
            self._best = self.model.get_weights()
        if self.path is not None:
            history = np.array([[*row, self.seconds] for row in self.rows])
            variables = map(_values, _variables(self.model))
            older = _file(self.path, len(self.rows) % 2)
            array_file.overwrite(older, itertools.chain([history], variables, self._best))
        if self.has_diverged() or self.is_out_of_patience():
            self.model.stop_training = True

    def _stored(self) -> list[array_file.Arrays]:
        """The contents of the undamaged files."""
        if self.path is None:
            return []
        files = [file for number in range(2) if (file := _file(self.path, number)).is_file()]
        undamaged = [stored for stored in map(array_file.read, files) if stored]
        if files and not undamaged:
            logger.warning("%s is damaged: the training starts from the first epoch", self.path)
        return undamaged


def _file(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name}.{number}")


def _values(variable: keras.Variable) -> NDArray[Any]:
    """A view on the values: copying the CNN's 0.4 GB takes as long as writing them."""
    tensor = tf.convert_to_tensor(variable.value)
    return np.asarray(memoryview(tensor)) if tensor.device.endswith("CPU:0") else tensor.numpy()


def _variables(model: keras.Model) -> list[keras.Variable]:
    return [*model.variables, *model.optimizer.variables]
