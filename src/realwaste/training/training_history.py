"""The result of a training: its history, epoch by epoch, and a summary (report, section 2.3)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

METRICS = ["loss", "accuracy", "val_loss", "val_accuracy"]


@dataclass(frozen=True)
class Training:
    """The result of a training.

    Attributes:
        history: a row for each epoch: epoch (from 1) and METRICS; a value that is not finite is missing.
        kept_epoch: the epoch whose weights the model has.
    """

    history: pd.DataFrame
    diverged_epoch: int | None
    seconds: float
    kept_epoch: int

    def summary(self) -> dict[str, object]:
        """For metrics JSON: the metrics of the kept epoch, or the epoch in which the training diverged."""
        metrics: dict[str, object] = {"diverged": self.diverged_epoch is not None, "epochs": len(self.history)}
        if self.diverged_epoch is not None:
            metrics["diverged_epoch"] = self.diverged_epoch
        metrics["kept_epoch"] = self.kept_epoch
        row = self.history.iloc[self.kept_epoch - 1]
        metrics |= {name: round(float(row[name]), 6) for name in METRICS if pd.notna(row[name])}
        return metrics | {"seconds": round(self.seconds, 2)}

    def describe(self) -> str:
        """One line for the log."""
        if self.diverged_epoch is not None:
            return f"diverged in epoch {self.diverged_epoch}"
        row = self.history.iloc[self.kept_epoch - 1]
        values = ", ".join(f"{name} {row[name]:.4f}" for name in METRICS)
        best = "" if self.kept_epoch == len(self.history) else f"; weights of epoch {self.kept_epoch}"
        return f"{len(self.history)} epochs in {self.seconds:.0f} s: {values}{best}"


def join_phases(first: Training, second: Training) -> Training:
    """Two phases of one training, with the epochs of the second after those of the first."""
    before = len(first.history)
    later = second.history.assign(epoch=second.history["epoch"] + before)
    diverged = second.diverged_epoch and second.diverged_epoch + before
    return Training(
        pd.concat([first.history, later], ignore_index=True),
        first.diverged_epoch or diverged,
        first.seconds + second.seconds,
        second.kept_epoch + before,
    )


def average_trainings(trainings: Sequence[Training]) -> Training:
    """The mean of trainings with equally many epochs; diverged if one did. The seconds are the sum."""
    if len(trainings) == 1:
        return trainings[0]
    histories = pd.concat([training.history for training in trainings])
    diverged = [training.diverged_epoch for training in trainings if training.diverged_epoch is not None]
    history = histories.groupby("epoch", as_index=False).agg(lambda column: column.mean(skipna=False))
    if diverged:
        history = history.iloc[: min(diverged)]
    seconds = sum(training.seconds for training in trainings)
    return Training(history, min(diverged, default=None), seconds, len(history))


def history_table(rows: list[list[float]]) -> pd.DataFrame:
    """The history of a Training, from a row for each epoch in the order of METRICS."""
    history = pd.DataFrame(rows, columns=METRICS).replace([np.inf, -np.inf], np.nan)
    history.insert(0, "epoch", range(1, len(history) + 1))
    return history


def build_training(rows: list[list[float]], seconds: float, best_epoch: int) -> Training:
    """A Training from a row for each epoch in the order of METRICS."""
    history = history_table(rows)
    wrong = history.loc[history[METRICS].isna().any(axis=1), "epoch"]
    diverged = int(wrong.iloc[0]) if len(wrong) else None
    return Training(history, diverged, seconds, best_epoch if diverged is None else len(history))
