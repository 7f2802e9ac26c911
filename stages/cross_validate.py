"""cross_validate: how the accuracy of a head depends on the split and on the number of training images.

A head on random weights, which stands in for pretrained ones, is left out: its result is empty.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from realwaste.core.files import read_csv, write_json
from realwaste.core.library_settings import importing_tensorflow
from realwaste.core.log import logger
from realwaste.dataset import labels
from realwaste.embedding import embeddings
from realwaste.models import registry, weights_record
from realwaste.training.finetune_recipe import FinetuneRecipe

if TYPE_CHECKING:
    from stages.launcher.params import Params

PARAMS = [
    "base.seed",
    "base.deterministic",
    "evaluate.folds",
    "evaluate.fold_repeats",
    "evaluate.learning_curve",
    "finetune_{slot}",
]


def main(params: "Params", name: str) -> None:
    is_stand_in = name not in weights_record.preferred_backbones(Path("data/weights"))
    metrics = {} if is_stand_in else _measure(params, name)
    write_json(Path(f"data/cross_validation/{name}.json"), metrics)
    display_name = registry.display_name(name, weights_record.read(Path("data/weights") / name).backbone)
    if "other_splits" in metrics:
        accuracy = "accuracy {accuracy_mean:.3f} ± {accuracy_std:.3f}".format(**metrics["other_splits"])
        logger.info("%s: %s on other splits", display_name, accuracy)
    else:
        logger.info("%s is not cross-validated: %s", display_name, "random weights" if is_stand_in else "switched off")


def _measure(params: "Params", name: str) -> dict[str, Any]:
    """`other_splits` and `learning_curve` for metrics/evaluate.json, without those that params.yaml switches off."""
    with importing_tensorflow():
        from realwaste.evaluation import head_cross_validation  # noqa: PLC0415 - TensorFlow, which no stand-in needs
        from realwaste.training.finetune import HeadTrainer  # noqa: PLC0415

    splits, groups = read_csv(Path("data/splits.csv")), read_csv(Path("data/groups.csv"))
    splits = splits.merge(groups, on="path", validate="one_to_one")
    cached, classes = embeddings.load(Path(f"data/embeddings/{name}")), labels.classes_of(splits)
    base, section, curve = params.base, params.evaluate, params.evaluate.learning_curve
    recipe = FinetuneRecipe.from_params(
        getattr(params, f"finetune_{name}"), classes=len(classes), seed=base.seed, deterministic=base.deterministic
    )
    trainer = HeadTrainer(recipe)
    metrics: dict[str, Any] = {}
    if section.fold_repeats:
        metrics["other_splits"] = head_cross_validation.cross_validate(
            cached.select(splits["path"].tolist()),
            np.searchsorted(classes, splits["label"]),
            splits["group"].to_numpy(),
            trainer,
            folds=section.folds,
            repeats=section.fold_repeats,
        )
    if curve.percents:
        metrics["learning_curve"] = head_cross_validation.measure_learning_curve(
            cached, splits, trainer, curve.percents, repeats=curve.repeats
        )
    return {key: value for key, value in metrics.items() if value}
