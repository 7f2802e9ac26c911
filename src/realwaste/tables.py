"""The tables that stages hand to each other, read back with their types."""

from pathlib import Path

import pandas as pd


def read_csv(path: Path) -> pd.DataFrame:
    """As written by atomic.write_csv: a class named `NA` or `null` stays a name."""
    return pd.read_csv(path, keep_default_na=False, na_values=[""])
