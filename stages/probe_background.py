"""data/background_probes.json: how well the background alone predicts the class, for linear heads on a backbone."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from realwaste.core.files import read_csv, write_json
from realwaste.core.log import logger
from realwaste.dataset import labels
from realwaste.evaluation import background_tests
from realwaste.models import feature_extractor, weights_record
from realwaste.runtime import determinism, device, inference_engine

if TYPE_CHECKING:
    from stages.launcher.params import Params

PARAMS = [
    "base.seed",
    "base.deterministic",
    "base.precision",
    "base.inference",
    "shortcuts.backbone",
    "shortcuts.images",
    "shortcuts.image_size",
    "shortcuts.batch_size",
    "shortcuts.folds",
]
RAW, WEIGHTS = Path("data/raw"), Path("data/weights")


def main(params: "Params") -> None:
    section, policy = params.shortcuts, device.resolve_precision(params.base.precision)
    slot = weights_record.probe_backbone(WEIGHTS) if section.backbone == "auto" else section.backbone
    engine = inference_engine.resolve_engine(params.base.inference, policy)
    device_record = device.record(policy, inference=engine)
    determinism.make_repeatable(0, deterministic=params.base.deterministic)
    splits = read_csv(Path("data/splits.csv")).merge(read_csv(Path("data/groups.csv")), on="path")
    class_numbers = np.searchsorted(labels.classes_of(splits), splits["label"])
    rows = labels.sample_rows(class_numbers, section.images, params.base.seed)
    sample, y_true = splits.iloc[rows], class_numbers[rows]
    backbone = feature_extractor.load_backbone(WEIGHTS / slot, section.image_size)
    network = inference_engine.compile_network(backbone.model, section.batch_size, policy=policy, engine=engine)
    features = background_tests.embed_views(network, [RAW / path for path in sample["path"]], backbone.image_size)
    groups = sample["group"].to_numpy()
    heads = background_tests.probe_accuracies(features, y_true, groups, section.folds)
    metrics = {"slot": slot, "machine": device_record, **backbone.facts, "image_size": backbone.image_size}
    metrics |= {"images": len(sample), "groups": len(set(groups)), "heads": heads}
    write_json(Path("data/background_probes.json"), metrics)
    shares = (100 * heads[view]["accuracy"] for view in ("frame", "whole"))
    logger.info("accuracy of a linear head: %.0f %% from the outer frame alone, %.0f %% from the picture", *shares)
