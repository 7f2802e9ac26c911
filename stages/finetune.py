"""finetune_irv2, finetune_densenet, finetune_edge: fit a head to cached vectors, and save it with its backbone."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import pandas as pd

from realwaste.core.files import read_csv, read_json, write_csv, write_json
from realwaste.core.log import logger
from realwaste.dataset.labels import classes_of
from realwaste.embedding import embeddings
from realwaste.embedding.embeddings import Embeddings
from realwaste.models import feature_extractor, model_file, registry, session, test_time_augmentation
from realwaste.models.feature_extractor import FrozenBackbone
from realwaste.models.model_file import Classifier, Facts
from realwaste.runtime import device, resume
from realwaste.training import finetune, head, unfreezing
from realwaste.training.finetune_recipe import FinetuneRecipe
from realwaste.training.training_history import Training
from stages.launcher import dependencies

if TYPE_CHECKING:
    from stages.launcher.params import Base, Finetune, Params

PARAMS = [
    "base.seed",
    "base.seeds",
    "base.deterministic",
    "base.precision",
    "base.inference",
    "finetune_{slot}.backbone",
    "finetune_{slot}.image_size",
    "finetune_{slot}.embed_batch_size",
    "finetune_{slot}.batch_size",
    "finetune_{slot}.epochs",
    "finetune_{slot}.learning_rate",
    "finetune_{slot}.dense_units",
    "finetune_{slot}.dropout",
    "finetune_{slot}.heads",
    "finetune_{slot}.shuffle",
    "finetune_{slot}.unfreeze",
    "finetune_{slot}.unfrozen",
    "finetune_{slot}.test_flips",
    "finetune_{slot}.test_crops",
]
RAW = Path("data/raw")


def main(params: "Params", name: str) -> None:
    section, fetched = getattr(params, f"finetune_{name}"), read_json(Path("data/dataset.json"))
    history, facts = _finetune(name, params.base, section, fetched)
    write_json(Path(f"metrics/finetune_{name}.json"), {"dataset": fetched["dataset"]} | facts)
    write_csv(Path(f"plots/data/history_{name}.csv"), history)


def _finetune(
    name: str, base: "Base", section: "Finetune", fetched: dict[str, Any]
) -> tuple[pd.DataFrame, dict[str, object]]:
    """Train and save the model and its repeats with other seeds; returns its history and its metrics."""
    splits, policy = read_csv(Path("data/splits.csv")), device.resolve_precision(base.precision)
    classes, vectors = tuple(classes_of(splits)), embeddings.load(Path(f"data/embeddings/{name}"))
    backbone = feature_extractor.load_backbone(Path("data/weights") / name, section.image_size)
    if section.unfreeze:  # refuses an unknown layer before anything is trained
        unfreezing.unfreeze_last_layers(backbone.model, section.unfreeze)
    device_record = device.record(policy if section.unfreeze else "float32")
    device.log_device(device_record)
    recipe = FinetuneRecipe.from_params(
        section, classes=len(classes), seed=base.seed, deterministic=base.deterministic, dtype_policy=policy
    )
    fit = _prepare_fit(name, recipe, backbone.image_size, splits, vectors)
    work = {"parameters": section.model_dump(), "base": vars(base), "precision": policy}
    with resume.progress_folder(f"finetune_{name}", work, dependencies.files(f"finetune_{name}")) as checkpoint_dir:
        repeats = [fit(seed, checkpoint_dir=checkpoint_dir)[0] for seed in base.seeds]
        model, trained = fit(base.seed, checkpoint_dir=checkpoint_dir)
        if not section.unfreeze:
            model = head.join(backbone.model, model)
        classifier = _build_classifier(
            name, model, section=section, classes=classes, backbone=backbone, policy=policy, fetched=fetched
        )
        inference_session = session.from_classifier(classifier, inference=base.inference)
        classifier = head.add_temperature_and_novelty(classifier, inference_session, vectors, RAW, splits)
        model_file.save(registry.model_path(name), classifier)
        head.save_trained_weights(Path(f"models/{name}_heads.npz"), repeats)
    logger.info("%s (%s weights): %s", classifier.facts.backbone, classifier.facts.weights, trained.describe())
    metrics = {"machine": device_record} | backbone.facts | trained.summary()
    metrics |= {"temperature": classifier.facts.temperature}
    return trained.history.assign(dataset=fetched["dataset"]), metrics


def _prepare_fit(
    name: str, recipe: FinetuneRecipe, image_size: int, splits: pd.DataFrame, vectors: Embeddings
) -> Callable[..., tuple[keras.Model, Training]]:
    """`finetune.fit` with everything but the seed and the folder for checkpoints."""
    views = embeddings.load_views(Path(f"data/embeddings/{name}"))
    return partial(
        finetune.fit,
        recipe,
        finetune.select_vectors(splits, vectors, views),
        pictures=finetune.load_pictures(splits, RAW, image_size) if recipe.last_layers else None,
        build_backbone=lambda: feature_extractor.load_backbone(Path("data/weights") / name, image_size).model,
    )


def _build_classifier(
    name: str,
    model: keras.Model,
    *,
    section: "Finetune",
    classes: tuple[str, ...],
    backbone: FrozenBackbone,
    policy: str,
    fetched: dict[str, Any],
) -> Classifier:
    """The model with its test-time views and the facts that its file states."""
    views = section.test_flips, section.test_crops
    facts = Facts(
        name=name,
        classes=classes,
        image_size=backbone.image_size,
        dataset=fetched["dataset"],
        backbone=backbone.facts["backbone"],
        weights=backbone.facts["weights"],
        precision=policy,
        batch_size=test_time_augmentation.batch_size(section.embed_batch_size, *views),
        origin=fetched["origin"],
    )
    return Classifier(test_time_augmentation.average_views(model, *views), facts)
