"""Results on external test sets beside those on the in-domain test set, for the report page."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

TEST_SETS = {"home": "in-domain", "outside": "external"}
"""Keys of metrics/external.json, and the names of the test sets on the page."""


def external_sections(external_sets: Mapping[str, Any], names: Mapping[str, str]) -> list[dict[str, Any]]:
    """A record for each external set, for the template.

    Args:
        external_sets: `sets` of metrics/external.json.
        names: display name of each model.
    """
    return [
        external_set
        | {
            "name": name,
            "chart": f"external_{number}",
            "less_accurate": [
                names[model]
                for model, results in external_set["models"].items()
                if results["change"] and results["change"]["difference_high"] < 0
            ],
            "unknown_folders": _unknown_folder_rows(external_set["models"], names),
        }
        for number, (name, external_set) in enumerate(external_sets.items())
    ]


def accuracy_rows(models: Mapping[str, Any], names: Mapping[str, str]) -> pd.DataFrame:
    """model (display name), series (test set), images, accuracy, low, high, for charts.grouped_accuracies."""
    return pd.DataFrame(
        [
            {
                "model": names[model],
                "series": test_set,
                "images": results[key]["images"],
                "accuracy": results[key]["accuracy"],
                "low": results[key]["accuracy_low"],
                "high": results[key]["accuracy_high"],
            }
            for model, results in models.items()
            for key, test_set in TEST_SETS.items()
            if results[key]["images"]
        ]
    )


def _unknown_folder_rows(models: Mapping[str, Any], names: Mapping[str, str]) -> list[dict[str, Any]]:
    """A row for each folder without a matching class and each model; the most frequent predictions come first."""
    folders = next(iter(models.values()))["outside"]["unknown"]["folders"]
    return [
        predictions
        | {
            "folder": folder,
            "model": names[model],
            "said": sorted(((count, label) for label, count in predictions["said"].items() if count), reverse=True),
        }
        for folder in folders
        for model, results in models.items()
        for predictions in [results["outside"]["unknown"]["folders"][folder]]
    ]
