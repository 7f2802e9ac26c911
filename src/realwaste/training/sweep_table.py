"""The table of a learning-rate sweep and the rule that picks one rate (report, section 1.14)."""

from dataclasses import dataclass
from typing import Any

import pandas as pd

from realwaste.core.errors import DivergedError

COLUMNS = ["learning_rate", "epoch", "loss", "accuracy", "val_loss", "val_accuracy", "diverged"]
RULE = "lowest validation loss at any epoch; of equals the smaller rate; never one that diverged"


@dataclass(frozen=True)
class Choice:
    """The rate that RULE picks, with the epoch and the validation loss that decided."""

    rate: float
    epoch: int
    val_loss: float


def rate_name(rate: float) -> str:
    """The shortest text for this rate, such as 0.001 or 1e-05; different rates have different names."""
    return repr(rate).removesuffix(".0")


def rate_rows(rate: float, history: pd.DataFrame) -> pd.DataFrame:
    """The table's rows (COLUMNS) of one rate, from the history of its training."""
    return history.assign(learning_rate=rate, diverged=history.isna().any(axis=None))


def choose_best(table: pd.DataFrame) -> Choice:
    """The rate that RULE picks from a table with COLUMNS.

    Raises:
        DivergedError: every rate diverged.
    """
    usable = table[~table["diverged"]]
    if usable.empty:
        raise DivergedError(
            "At least one learning rate of lr_sweep must train without diverging.",
            "Add smaller ones to lr_sweep.learning_rates.",
            sorted(table["learning_rate"].unique().tolist()),
        )
    row = usable.sort_values(["val_loss", "learning_rate", "epoch"]).iloc[0]
    return Choice(float(row["learning_rate"]), int(row["epoch"]), float(row["val_loss"]))


def summary(table: pd.DataFrame, choice: Choice) -> dict[str, Any]:
    """For metrics/lr_sweep.json: the choice; for each rate its lowest validation loss, or the epoch of divergence."""
    rates: dict[str, dict[str, object]] = {}
    for rate, rate_table in table.groupby("learning_rate"):
        # `dvc metrics` would take a dot for another level.
        key = rate_name(float(rate)).replace(".", "_")
        if rate_table["diverged"].any():
            rates[key] = {"diverged": True, "diverged_epoch": int(rate_table["epoch"].iloc[-1])}
        else:
            rates[key] = {"diverged": False, "lowest_val_loss": float(rate_table["val_loss"].min())}
    return {
        "best_learning_rate": choice.rate,
        "best_epoch": choice.epoch,
        "best_val_loss": choice.val_loss,
        "rule": RULE,
        "rates": rates,
    }
