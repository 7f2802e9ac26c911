"""The training of `realwaste train`: the stages' code, with the defaults of finetune_edge or of the set `best`."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd

import realwaste
from realwaste.core.errors import DivergedError
from realwaste.core.log import logger
from realwaste.dataset.labels import classes_of, labels_of, paths_of
from realwaste.embedding import extraction
from realwaste.embedding.extraction import Job
from realwaste.evaluation import classification
from realwaste.images.augment import Augment
from realwaste.models import feature_extractor, feature_split, layer_table
from realwaste.models.applications import is_file
from realwaste.models.model_file import Classifier
from realwaste.models.probabilities import fill_undefined
from realwaste.models.session import Session
from realwaste.runtime import device
from realwaste.runtime.inference_engine import resolve_engine
from realwaste.sources import backbone_weights
from realwaste.sources.stand_ins import StandIns
from realwaste.training import batches
from realwaste.training.finetune_job import FinetuneJob
from realwaste.training.finetune_recipe import FinetuneRecipe, HeadArchitecture, LastLayers
from realwaste.training.schedule import Schedule
from realwaste.training.training_history import Training

_EMBED_BATCH_SIZE = _BATCH_SIZE = 32
_MIN_STEPS = 70  # of the head: with few photographs, ten epochs have too few
_FIRST_BLOCK, _LAYERS = "block3a", 20  # the start of fine-tuning in an EfficientNet, and in other backbones
_CODE = ("dataset", "embedding", "images", "models", "runtime", "training")  # packages that a result depends on


@dataclass(frozen=True)
class PhotoTraining:
    """What a model is trained on, and how; name and dataset as of ModelMetadata."""

    name: str
    dataset: str
    root: Path
    splits: pd.DataFrame
    backbone: str
    image_size: int
    fine_tune: bool
    seed: int

    def prepare(self, folder: Path) -> FinetuneJob:
        """Fetch the backbone and compute the vectors of all photographs, which `folder` keeps."""
        weights = backbone_weights.fetch(
            self.backbone,
            "auto" if is_file(self.backbone) else "imagenet",
            folder / "weights",
            seed=self.seed,
            parameter="--backbone",
            stand_ins=StandIns(),
        )
        logger.info("%s (%s weights) at %d pixels", weights.backbone, weights.weights, self.image_size)
        backbone = feature_extractor.load_backbone(folder / "weights", self.image_size)
        policy, paths = device.resolve_precision("auto"), self.splits["path"].tolist()
        engine, size = resolve_engine("auto", policy), backbone.image_size
        job = Job(self.root, paths, policy, engine, size, _EMBED_BATCH_SIZE, deterministic=True)
        vectors = extraction.create_embedder("local", backbone.model)(job, checkpoint_dir=folder)
        layers = choose_last_layers(backbone.model) if self.fine_tune else None
        images = len(paths_of(self.splits, "train"))
        recipe = build_recipe(len(classes_of(self.splits)), images, self.seed, policy, layers)
        return FinetuneJob(
            self.name,
            self.dataset,
            "given",
            self.root,
            self.splits,
            folder / "weights",
            backbone,
            vectors,
            recipe,
            policy,
            _EMBED_BATCH_SIZE,
        )

    def fit(self, folder: Path) -> tuple[FinetuneJob, Classifier, Training]:
        """Train, or continue a training whose state is in `folder`."""
        job = self.prepare(folder)
        model, trained = job.fit(self.seed, folder, on_epoch_end=_log_epoch)
        if trained.diverged_epoch is not None:
            remedy = "Train without --fine-tune, or with another --backbone."
            raise DivergedError("The losses of a training must stay finite.", remedy, trained.describe())
        accuracy = trained.history["val_accuracy"].iloc[trained.kept_epoch - 1]
        logger.info("trained in %.0f s: validation accuracy %.0f %%", trained.seconds, 100 * accuracy)
        return job, job.build_classifier(model), trained


def build_recipe(
    classes: int, images: int, seed: int, policy: str, last_layers: int | str | None = None
) -> FinetuneRecipe:
    """The recipe for a number of training images, where `last_layers` is the value of `unfreeze`; None for a head."""
    epochs = max(10, -(-_MIN_STEPS // batches.steps(images, _BATCH_SIZE)))
    schedule = Schedule(epochs, _BATCH_SIZE, learning_rate=0.001, shuffle=True, seed=seed)
    if last_layers is None:
        return FinetuneRecipe(classes, HeadArchitecture(128), schedule)
    second = Schedule(
        10,
        _BATCH_SIZE,
        learning_rate=0.0003,
        shuffle=True,
        seed=seed,
        dtype_policy=policy,
        decay="cosine",
        warmup=0.1,
        label_smoothing=0.1,
        mixup=0.2,
        keep="best",
    )
    phase = LastLayers(last_layers, second, Augment(flip=True, zoom=0.2))
    return FinetuneRecipe(classes, HeadArchitecture(128), schedule, last_layers=phase, test_flips="both")


def choose_last_layers(backbone: keras.Model) -> int | str:
    """The value of `unfreeze` for a backbone: from the third block of an EfficientNet on, or the last layers."""
    layers = [layer for layer in layer_table.leaf_layers(backbone) if layer.weights]
    if any(layer.name.startswith(_FIRST_BLOCK) for layer in layers):
        return _FIRST_BLOCK
    return min(_LAYERS, sum(not isinstance(layer, keras.layers.BatchNormalization) for layer in layers))


def test_metrics(job: FinetuneJob, classifier: Classifier, session: Session) -> dict[str, Any]:
    """The test metrics, from the photographs of the part `test`; as the stage evaluate computes them."""
    paths, y_true = paths_of(job.splits, "test"), labels_of(job.splits, "test")
    vectors = job.vectors.select(paths) if feature_split.accepts_cached_vectors(classifier.model) else None
    raw, _ = fill_undefined(session.predict_files([job.root / path for path in paths], vectors)[0])
    groups = job.splits.loc[job.splits["split"] == "test", "group"].to_numpy()
    metrics = classification.compute_test_metrics(y_true, raw, classifier.metadata.classes, groups)
    return {"test_images": len(paths), "test_right": int(np.sum(raw.argmax(axis=1) == y_true))} | metrics


def code_files() -> Iterable[Path]:
    """The files of this package that a result depends on."""
    package = Path(realwaste.__file__).parent
    return [Path(__file__), *(file for name in _CODE for file in sorted((package / name).glob("*.py")))]


def _log_epoch(history: pd.DataFrame) -> None:
    last = history.iloc[-1]
    epoch, accuracy = int(last["epoch"]), last["val_accuracy"]
    logger.info("fine-tuning, epoch %d: validation accuracy %.0f %%", epoch, 100 * accuracy)
