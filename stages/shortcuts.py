"""What tells the classes apart beside the objects, and whether the models go by it: metrics/shortcuts.json."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from realwaste.core import library_settings
from realwaste.core.files import read_csv, read_json, write_json
from realwaste.core.log import logger
from realwaste.dataset import labels
from realwaste.models import registry

if TYPE_CHECKING:
    from stages.launcher.params import Params

PARAMS = ["base.seed", "base.deterministic", "base.precision", "base.inference", "shortcuts"]
RAW, METRICS = Path("data/raw"), Path("metrics/shortcuts.json")


def main(params: "Params") -> None:
    own, dataset = params.shortcuts, read_json(Path("data/dataset.json"))["dataset"]
    if own.backbone is None:
        registry.switch_off(METRICS, dataset)
        logger.info("shortcuts.backbone is null: off")
        return
    splits = read_csv(Path("data/splits.csv")).merge(read_csv(Path("data/groups.csv")), on="path")
    splits["number"] = np.searchsorted(labels.classes_of(splits), splits["label"])
    facts = {"dataset": dataset, "chance": float(splits["label"].value_counts(normalize=True).max())}
    facts |= _probes(params, Path("data/weights") / own.backbone, splits)
    facts["models"] = _models(params, len(splits), splits[splits["split"] == "val"].reset_index(drop=True))
    write_json(METRICS, facts)
    told = (
        "%s: of the classes of %d images %.0f %% can be told from the outer frame alone, %.0f %% from the whole picture"
    )
    alone = (100 * facts["heads"][view]["accuracy"] for view in ("frame", "whole"))
    logger.info(told, dataset, facts["images"], *alone)


def _probes(params: "Params", weights: Path, splits: pd.DataFrame) -> dict[str, Any]:
    """What heads score that see a part of each picture, or a poorer one."""
    with library_settings.drop_import_logs():
        from realwaste.evaluation import background_tests
        from realwaste.models import feature_extractor
        from realwaste.runtime import determinism, device, inference_engine

    own, policy = params.shortcuts, device.resolve_precision(params.base.precision)
    runs = inference_engine.resolve_engine(params.base.inference, policy)
    made = device.record(policy, inference=runs)
    determinism.make_repeatable(0, deterministic=params.base.deterministic)
    taken = splits.iloc[labels.sample(splits["number"].to_numpy(), own.images, params.base.seed)]
    built = feature_extractor.load_backbone(weights, own.image_size)
    network = inference_engine.compile_network(built.model, own.batch_size, policy=policy, engine=runs)
    vectors = background_tests.embed_views(network, [RAW / path for path in taken["path"]], own.image_size)
    numbers, groups = taken["number"].to_numpy(), taken["group"].to_numpy()
    return {
        "machine": made,
        **built.facts,
        "image_size": own.image_size,
        "images": len(taken),
        "groups": len(set(groups)),
        "heads": background_tests.probe_accuracies(vectors, numbers, groups, own.folds),
    }


def _models(params: "Params", images: int, val: pd.DataFrame) -> dict[str, Any]:
    """What each trained model answers for validation images whose frame or middle is not theirs."""
    from realwaste.evaluation import background_tests, prediction_table
    from realwaste.models import session

    known = val["number"].to_numpy()
    most = max(len(set(known)), round(params.shortcuts.asked * images))
    taken = val.iloc[labels.sample(known, most, params.base.seed)]
    numbers, groups = taken["number"].to_numpy(), taken["group"].to_numpy()
    rows = background_tests.draw_other_class_rows(numbers, params.base.seed)
    files = [RAW / path for path in taken["path"]]
    whole = read_csv(Path("data/predictions.csv")).set_index(["model", "path"])
    found = {}
    for name in registry.enabled_models():
        asked = session.open_session(registry.model_path(name), inference=params.base.inference)
        answers = background_tests.predict_swapped_views(asked, files, [files[row] for row in rows])
        as_it_is = prediction_table.probabilities_of(whole.loc[name].loc[taken["path"]])
        found[name] = {"images": len(taken)} | background_tests.summarize_swapped_views(
            {"whole": as_it_is} | answers, numbers, numbers[rows], groups
        )
    return found
