"""The tables and records that stages hand to each other, read back with their types."""

import json
from pathlib import Path
from typing import Any

import pandas as pd


def read_csv(path: Path) -> pd.DataFrame:
    """As written by atomic.write_csv: a class named `NA` or `null` stays a name."""
    return pd.read_csv(path, keep_default_na=False, na_values=[""], float_precision="round_trip")


def read_json(path: Path) -> dict[str, Any]:
    values = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(values, dict):
        raise TypeError(f"{path} must hold an object")
    return values
