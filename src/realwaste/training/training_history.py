"""What came of a training: the table of what happened, epoch by epoch (report, section 2.3)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

METRICS = ["loss", "accuracy", "val_loss", "val_accuracy"]


@dataclass(frozen=True)
class Training:
    """What came of a training.

    Attributes:
        history: one row an epoch: epoch (from 1) and METRICS, a number that is not finite left empty.
        kept_epoch: the epoch whose weights the model has.
    """

    history: pd.DataFrame
    diverged_epoch: int | None
    seconds: float
    kept_epoch: int

    def summary(self) -> dict[str, object]:
        """The figures of the epoch that was kept, or when it diverged; strict JSON either way."""
        facts: dict[str, object] = {"diverged": self.diverged_epoch is not None, "epochs": len(self.history)}
        if self.diverged_epoch is not None:
            facts["diverged_epoch"] = self.diverged_epoch
        facts["kept_epoch"] = self.kept_epoch
        last = self.history.iloc[self.kept_epoch - 1]
        facts |= {name: round(float(last[name]), 6) for name in METRICS if pd.notna(last[name])}
        return facts | {"seconds": round(self.seconds, 2)}

    def line(self) -> str:
        """What came of it, in one line for people."""
        if self.diverged_epoch is not None:
            return f"diverged in epoch {self.diverged_epoch}"
        last = self.history.iloc[self.kept_epoch - 1]
        shown = ", ".join(f"{name} {last[name]:.4f}" for name in METRICS)
        best = "" if self.kept_epoch == len(self.history) else f" of epoch {self.kept_epoch}"
        return f"{len(self.history)} epochs in {self.seconds:.0f} s: {shown}{best}"


def joined(first: Training, second: Training) -> Training:
    """Two phases of one training, the epochs of the second after those of the first."""
    before = len(first.history)
    later = second.history.assign(epoch=second.history["epoch"] + before)
    diverged = second.diverged_epoch and second.diverged_epoch + before
    return Training(
        pd.concat([first.history, later], ignore_index=True),
        first.diverged_epoch or diverged,
        first.seconds + second.seconds,
        second.kept_epoch + before,
    )


def mean_of(trainings: Sequence[Training]) -> Training:
    """The mean figures of trainings side by side, of as many epochs; diverged if one did; their seconds together."""
    if len(trainings) == 1:
        return trainings[0]
    histories = pd.concat([one.history for one in trainings])
    diverged = [one.diverged_epoch for one in trainings if one.diverged_epoch is not None]
    history = histories.groupby("epoch", as_index=False).agg(lambda own: own.mean(skipna=False))
    if diverged:
        history = history.iloc[: min(diverged)]
    seconds = sum(one.seconds for one in trainings)
    return Training(history, min(diverged, default=None), seconds, len(history))


def history_of(rows: list[list[float]]) -> pd.DataFrame:
    """The history as in Training, from one row an epoch in the order of METRICS."""
    history = pd.DataFrame(rows, columns=METRICS).replace([np.inf, -np.inf], np.nan)
    history.insert(0, "epoch", range(1, len(history) + 1))
    return history


def training_of(rows: list[list[float]], seconds: float, best_epoch: int) -> Training:
    """What came of a training, from one row an epoch in the order of METRICS."""
    history = history_of(rows)
    wrong = history.loc[history[METRICS].isna().any(axis=1), "epoch"]
    diverged = int(wrong.iloc[0]) if len(wrong) else None
    return Training(history, diverged, seconds, best_epoch if diverged is None else len(history))
