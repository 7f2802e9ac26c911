"""How well the background alone predicts the class, and whether the models use it: metrics/shortcuts.json."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from realwaste.core.files import read_csv, read_json, write_json
from realwaste.core.log import logger
from realwaste.dataset import labels
from realwaste.evaluation import background_tests, prediction_table
from realwaste.models import feature_extractor, model_file, registry, session, weights_record
from realwaste.runtime import determinism, device, inference_engine

if TYPE_CHECKING:
    from stages.launcher.params import Params

PARAMS = ["base.seed", "base.deterministic", "base.precision", "base.inference", "shortcuts"]
RAW, WEIGHTS = Path("data/raw"), Path("data/weights")


def main(params: "Params") -> None:
    dataset, choice = read_json(Path("data/dataset.json"))["dataset"], params.shortcuts.backbone
    slot = weights_record.probe_backbone(WEIGHTS) if choice == "auto" else choice
    splits = read_csv(Path("data/splits.csv")).merge(read_csv(Path("data/groups.csv")), on="path")
    splits["number"] = np.searchsorted(labels.classes_of(splits), splits["label"])
    facts = {"dataset": dataset, "chance": float(splits["label"].value_counts(normalize=True).max())}
    facts |= {"slot": slot} | _probes(params, WEIGHTS / slot, splits)
    facts["models"] = _models(params, len(splits), splits[splits["split"] == "val"].reset_index(drop=True))
    write_json(Path("metrics/shortcuts.json"), facts)
    shares = (100 * facts["heads"][view]["accuracy"] for view in ("frame", "whole"))
    logger.info("accuracy of a linear head: %.0f %% from the outer frame alone, %.0f %% from the picture", *shares)


def _probes(params: "Params", weights: Path, splits: pd.DataFrame) -> dict[str, Any]:
    """The accuracy of heads that see only a part of each picture, or a degraded one."""
    section, policy = params.shortcuts, device.resolve_precision(params.base.precision)
    engine = inference_engine.resolve_engine(params.base.inference, policy)
    device_record = device.record(policy, inference=engine)
    determinism.make_repeatable(0, deterministic=params.base.deterministic)
    sample = splits.iloc[labels.sample_rows(splits["number"].to_numpy(), section.images, params.base.seed)]
    backbone = feature_extractor.load_backbone(weights, section.image_size)
    network = inference_engine.compile_network(backbone.model, section.batch_size, policy=policy, engine=engine)
    vectors = background_tests.embed_views(network, [RAW / path for path in sample["path"]], backbone.image_size)
    numbers, groups = sample["number"].to_numpy(), sample["group"].to_numpy()
    return {
        "machine": device_record,
        **backbone.facts,
        "image_size": backbone.image_size,
        "images": len(sample),
        "groups": len(set(groups)),
        "heads": background_tests.probe_accuracies(vectors, numbers, groups, section.folds),
    }


def _models(params: "Params", images: int, val: pd.DataFrame) -> dict[str, Any]:
    """The accuracy of each pretrained model on validation images whose frame or middle is that of another image."""
    y_val = val["number"].to_numpy()
    count = max(len(set(y_val)), round(params.shortcuts.val_fraction * images))
    sample = val.iloc[labels.sample_rows(y_val, count, params.base.seed)]
    numbers, groups = sample["number"].to_numpy(), sample["group"].to_numpy()
    rows = background_tests.draw_other_class_rows(numbers, params.base.seed)
    files = [RAW / path for path in sample["path"]]
    predictions = read_csv(Path("data/predictions.csv")).set_index(["model", "path"])
    weights = {name: model_file.read_facts(registry.model_path(name)).weights for name in registry.MODELS}
    results = {}
    for name in registry.prefer_pretrained(weights):
        model_session = session.open_session(registry.model_path(name), inference=params.base.inference)
        swapped = background_tests.predict_swapped_views(model_session, files, [files[row] for row in rows])
        unchanged = prediction_table.probabilities_of(predictions.loc[name].loc[sample["path"]])
        results[name] = {"images": len(sample)} | background_tests.summarize_swapped_views(
            {"whole": unchanged} | swapped, numbers, numbers[rows], groups
        )
    return results
