"""Fine-tuning from a backbone's folder to a classifier that can be saved, for the stage and for `realwaste train`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import keras
import pandas as pd

from realwaste.dataset.labels import classes_of
from realwaste.embedding.embeddings import Embeddings
from realwaste.models import (
    feature_extractor,
    inference_networks,
    session,
    test_time_augmentation,
    training_photographs,
)
from realwaste.models.feature_extractor import FrozenBackbone
from realwaste.models.model_file import Classifier, ModelMetadata
from realwaste.training import finetune, head, unfreezing
from realwaste.training.finetune import TrainVal
from realwaste.training.finetune_recipe import FinetuneRecipe
from realwaste.training.training_history import Training


@dataclass(frozen=True)
class FinetuneJob:
    """What a classifier is fine-tuned from.

    Attributes:
        name, dataset, origin: of ModelMetadata.
        root, splits: the images root/<path>, and the table with their label and part.
        backbone: from feature_extractor.load_backbone with this weights folder.
        vectors, views: of the images, and of their augmented views.
        policy: the Keras dtype policy in which the classifier predicts.
        embed_batch_size: images per batch in the frozen backbone.
        inference: the value of `base.inference`.
    """

    name: str
    dataset: str
    origin: str
    root: Path
    splits: pd.DataFrame
    weights_folder: Path
    backbone: FrozenBackbone
    vectors: Embeddings
    recipe: FinetuneRecipe
    policy: str
    embed_batch_size: int
    inference: str = "auto"
    views: Sequence[Embeddings] = field(default=())

    def check(self) -> None:
        """Raise UserError for an unknown layer, before anything is trained."""
        if self.recipe.last_layers:
            unfreezing.unfreeze_last_layers(self.backbone.model, self.recipe.last_layers.unfreeze)

    def fit(
        self, seed: int, checkpoint_dir: Path, *, live: Callable[[pd.DataFrame], None] | None = None
    ) -> tuple[keras.Model, Training]:
        """As finetune.fit."""
        return finetune.fit(
            self.recipe,
            self._vectors,
            seed,
            pictures=self._pictures,
            build_backbone=lambda: self._load_backbone().model,
            checkpoint_dir=checkpoint_dir,
            live=live,
        )

    def build_classifier(self, model: keras.Model) -> Classifier:
        """A result of `fit` with metadata, test-time views, training photographs, temperature and novelty score."""
        recipe = self.recipe
        if recipe.last_layers is None:
            model = head.join(self.backbone.model, model)
        views = recipe.test_flips, recipe.test_crops
        metadata = ModelMetadata(
            name=self.name,
            classes=tuple(classes_of(self.splits)),
            image_size=self.backbone.image_size,
            dataset=self.dataset,
            backbone=self.backbone.facts["backbone"],
            weights=self.backbone.facts["weights"],
            precision=self.policy,
            batch_size=test_time_augmentation.batch_size(self.embed_batch_size, *views),
            origin=self.origin,
        )
        photographs = training_photographs.from_splits(self.splits)
        classifier = Classifier(test_time_augmentation.average_views(model, *views), metadata, photographs=photographs)
        classifier = inference_networks.add_networks(classifier, self.inference)
        inference_session = session.from_classifier(classifier, inference=self.inference)
        return head.add_temperature_and_novelty(classifier, inference_session, self.vectors, self.root, self.splits)

    @cached_property
    def _vectors(self) -> TrainVal:
        return finetune.select_vectors(self.splits, self.vectors, self.views)

    @cached_property
    def _pictures(self) -> TrainVal | None:
        if self.recipe.last_layers is None:
            return None
        return finetune.load_pictures(self.splits, self.root, self.backbone.image_size)

    def _load_backbone(self) -> FrozenBackbone:
        return feature_extractor.load_backbone(self.weights_folder, self.backbone.image_size)
