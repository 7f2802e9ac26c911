"""metrics/shortcuts.json: how well the background alone predicts the class, and whether the models use it."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from realwaste.core.files import read_csv, read_json, write_json
from realwaste.core.log import logger
from realwaste.dataset import labels
from realwaste.evaluation import background_tests, prediction_table
from realwaste.models import model_file, registry, session

if TYPE_CHECKING:
    from stages.launcher.params import Params

PARAMS = ["base.seed", "base.inference", "shortcuts.val_fraction"]
RAW = Path("data/raw")


def main(params: "Params") -> None:
    dataset = read_json(Path("data/dataset.json"))["dataset"]
    splits = read_csv(Path("data/splits.csv")).merge(read_csv(Path("data/groups.csv")), on="path")
    splits["number"] = np.searchsorted(labels.classes_of(splits), splits["label"])
    metrics = {"dataset": dataset, "chance": float(splits["label"].value_counts(normalize=True).max())}
    metrics |= read_json(Path("data/background_probes.json"))
    metrics["models"] = _evaluate_models(params, len(splits), splits[splits["split"] == "val"].reset_index(drop=True))
    write_json(Path("metrics/shortcuts.json"), metrics)


def _evaluate_models(params: "Params", images: int, val: pd.DataFrame) -> dict[str, Any]:
    """The accuracy of each pretrained model on validation images whose frame or middle is that of another image."""
    y_val = val["number"].to_numpy()
    count = max(len(set(y_val)), round(params.shortcuts.val_fraction * images))
    sample = val.iloc[labels.sample_rows(y_val, count, params.base.seed)]
    numbers, groups = sample["number"].to_numpy(), sample["group"].to_numpy()
    rows = background_tests.draw_other_class_rows(numbers, params.base.seed)
    files = [RAW / path for path in sample["path"]]
    predictions = read_csv(Path("data/predictions.csv")).set_index(["model", "path"])
    metadata = {name: model_file.read_metadata(registry.model_path(name)) for name in registry.MODELS}
    results = {}
    for name in registry.prefer_pretrained({name: record.weights for name, record in metadata.items()}):
        model_session = session.open_session(registry.model_path(name), inference=params.base.inference)
        swapped = background_tests.predict_swapped_views(model_session, files, [files[row] for row in rows])
        unchanged = prediction_table.probabilities_of(predictions.loc[name].loc[sample["path"]])
        results[name] = {"images": len(sample)} | background_tests.summarize_swapped_views(
            {"whole": unchanged} | swapped, numbers, numbers[rows], groups
        )
    names = (registry.display_name(name, metadata[name].backbone) for name in results)
    logger.info("tested %s on pictures with another background", ", ".join(names))
    return results
