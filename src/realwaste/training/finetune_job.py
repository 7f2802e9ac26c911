"""Fine-tuning from a backbone's folder to a classifier that can be saved, for the stage and for `realwaste train`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
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
from realwaste.training import finetune, head, samples, training_history, unfreezing
from realwaste.training.finetune import HeadTrainer, TrainVal
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
        self, seed: int, checkpoint_dir: Path, *, on_epoch_end: Callable[[pd.DataFrame], None] | None = None
    ) -> tuple[keras.Model, Training]:
        """The head alone; joined with its backbone where the recipe trains the last layers too.

        Args:
            checkpoint_dir: where the second phase saves its state after each epoch, and resumes from it.
            on_epoch_end: called with the history of the second phase after each epoch, instead of progress bars.
        """
        fitted, first = HeadTrainer(self.recipe).fit(self._vectors, seed, silent=on_epoch_end is not None)
        if self.recipe.last_layers is None:
            return fitted, first
        last_layers = replace(self.recipe.last_layers, schedule=replace(self.recipe.last_layers.schedule, seed=seed))
        # Loaded again for each seed: the phase changes the backbone.
        backbone = feature_extractor.load_backbone(self.weights_folder, self.backbone.image_size).model
        checkpoint = checkpoint_dir / f"seed_{seed}"
        classifier, second = finetune.fit_last_layers(
            fitted, backbone, self._pictures, last_layers, checkpoint=checkpoint, on_epoch_end=on_epoch_end
        )
        return classifier, training_history.join_phases(first, second)

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
    def _pictures(self) -> TrainVal:
        train, val, _ = samples.load_pictures(self.splits, self.root, self.backbone.image_size, "memory")
        return TrainVal(train, val)
