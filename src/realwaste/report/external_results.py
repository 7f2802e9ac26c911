"""The models on labelled photographs from elsewhere beside their test at home, as the page shows it."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

TEST_SETS = {"home": "at home", "outside": "outside"}


def external_sections(external: Mapping[str, Any], names: Mapping[str, str]) -> list[dict[str, Any]]:
    """A record a set, for the template.

    Args:
        external: `sets` of metrics/external.json.
        names: of the models, as shown.
    """
    return [
        facts
        | {
            "name": name,
            "chart": f"outside_{number}",
            "fewer": [
                names[model]
                for model, own in facts["models"].items()
                if own["change"] and own["change"]["difference_high"] < 0
            ],
            "strangers": _strangers(facts["models"], names),
        }
        for number, (name, facts) in enumerate(external.items())
    ]


def accuracy_rows(models: Mapping[str, Any], names: Mapping[str, str]) -> pd.DataFrame:
    """model (as shown), place, images, accuracy, low, high: a row for each place where a model answered for images."""
    return pd.DataFrame(
        [
            {
                "model": names[model],
                "place": shown,
                "images": own[place]["images"],
                "accuracy": own[place]["accuracy"],
                "low": own[place]["accuracy_low"],
                "high": own[place]["accuracy_high"],
            }
            for model, own in models.items()
            for place, shown in TEST_SETS.items()
            if own[place]["images"]
        ]
    )


def _strangers(models: Mapping[str, Any], names: Mapping[str, str]) -> list[dict[str, Any]]:
    """The folders that no class has the name of, a row for each model, the answers that came most often first."""
    folders = next(iter(models.values()))["outside"]["unknown"]["folders"]
    return [
        asked
        | {
            "folder": folder,
            "model": names[model],
            "said": sorted(((count, label) for label, count in asked["said"].items() if count), reverse=True),
        }
        for folder in folders
        for model, own in models.items()
        for asked in [own["outside"]["unknown"]["folders"][folder]]
    ]
