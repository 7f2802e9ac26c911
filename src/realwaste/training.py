"""Fitting a classifier and the table of what happened (report, sections 1.9 and 2.3)."""

import logging
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import tensorflow as tf

from realwaste import batches, fused
from realwaste.checkpoint import Checkpoint
from realwaste.log import logger
from realwaste.samples import Samples

METRICS = ["loss", "accuracy", "val_loss", "val_accuracy"]


@dataclass(frozen=True)
class Schedule:
    """How to fit: Adam at `learning_rate`, sparse categorical crossentropy, arithmetic as `dtype_policy` says."""

    epochs: int
    batch_size: int
    learning_rate: float
    shuffle: bool
    seed: int
    dtype_policy: str = "float32"


@dataclass(frozen=True)
class Training:
    """One row an epoch: epoch (from 1) and METRICS, a number that is not finite left empty."""

    history: pd.DataFrame
    diverged_epoch: int | None
    seconds: float

    def summary(self) -> dict[str, object]:
        """The last epoch's figures, or when it diverged; strict JSON either way."""
        facts: dict[str, object] = {"diverged": self.diverged_epoch is not None, "epochs": len(self.history)}
        if self.diverged_epoch is not None:
            facts["diverged_epoch"] = self.diverged_epoch
        last = self.history.iloc[-1]
        facts |= {name: round(float(last[name]), 6) for name in METRICS if pd.notna(last[name])}
        return facts | {"seconds": round(self.seconds, 2)}

    def line(self) -> str:
        """One line for people."""
        if self.diverged_epoch is not None:
            return f"diverged in epoch {self.diverged_epoch}"
        last = self.history.iloc[-1]
        shown = ", ".join(f"{name} {last[name]:.4f}" for name in METRICS)
        return f"{len(self.history)} epochs in {self.seconds:.0f} s: {shown}"


def make_repeatable(seed: int, *, deterministic: bool) -> None:
    """Seed Python, NumPy and TensorFlow; `deterministic` makes every operation repeat bit for bit."""
    keras.utils.set_random_seed(seed)
    if deterministic:
        tf.config.experimental.enable_op_determinism()


def fit(
    model: keras.Model,
    train: Samples,
    val: Samples,
    schedule: Schedule,
    *,
    checkpoint: Path | None = None,
    live: Callable[[pd.DataFrame], None] | None = None,
) -> Training:
    """Fit `model` in place, by way of its twin. A loss that is no longer finite ends the training at that epoch.

    Args:
        checkpoint: a file to keep the state after each epoch in, and to go on from if it is there.
        live: is given the history, as in Training, after each epoch.
    """
    twin = fused.twin(model, schedule.dtype_policy)
    twin.compile(
        optimizer=fused.Adam(schedule.learning_rate), loss="sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    kept = Checkpoint(checkpoint, METRICS)
    tell = keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: live(_table(kept.rows))) if live else None
    done = kept.restore(twin)
    if done < schedule.epochs and np.isfinite(kept.rows).all():
        twin.fit(
            batches.shuffled(
                train,
                batch_size=schedule.batch_size,
                epochs=schedule.epochs,
                seed=schedule.seed,
                shuffle=schedule.shuffle,
                start_epoch=done,
            ),
            steps_per_epoch=batches.steps(len(train.labels), schedule.batch_size),
            initial_epoch=done,
            epochs=schedule.epochs,
            validation_data=batches.ordered(val, batch_size=schedule.batch_size),
            # The order is the data set's own, see realwaste.batches.
            shuffle=False,
            callbacks=[keras.callbacks.TerminateOnNaN(), kept, *([tell] if tell else [])],
            verbose=_verbosity(),
        )
    model.set_weights(twin.get_weights())
    return _training(kept)


def _verbosity() -> int | str:
    """Keras' progress bar where somebody looks on, else a line an epoch; nothing in a quiet run."""
    if not logger.isEnabledFor(logging.INFO):
        return 0
    return "auto" if sys.stdout.isatty() else 2


def _table(rows: list[list[float]]) -> pd.DataFrame:
    history = pd.DataFrame(rows, columns=METRICS).replace([np.inf, -np.inf], np.nan)
    history.insert(0, "epoch", range(1, len(history) + 1))
    return history


def _training(kept: Checkpoint) -> Training:
    history = _table(kept.rows)
    wrong = history.loc[history[METRICS].isna().any(axis=1), "epoch"]
    return Training(history, int(wrong.iloc[0]) if len(wrong) else None, kept.seconds)
