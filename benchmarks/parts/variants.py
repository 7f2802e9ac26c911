"""What heads are compared in, on vectors of a frozen backbone; and what they answer with several views at test."""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

import keras
import numpy as np

from realwaste.classifier import features, test_time_augmentation
from realwaste.classifier.probabilities import Probabilities
from realwaste.embedding import local
from realwaste.embedding.embeddings import Embeddings, Vectors
from realwaste.finetuning import head
from realwaste.images.reader import Look
from realwaste.inference import engines

ALL = ("horizontal", "middle")  # test_flips and test_crops of which each other choice is a part


@dataclass(frozen=True)
class Variant:
    """How many changed views a head learns from beside the photographs, its dropout; its views at test.

    Attributes:
        larger: whether its photographs have LARGER times as many pixels a side.
        heads: how many, each begun and shuffled otherwise, whose mean is the answer.
    """

    views: int = 0
    dropout: float = 0.0
    flips: str = "none"
    crops: str = "none"
    larger: bool = False
    heads: int = 1

    def learning(self) -> "Variant":
        """The same for variants that differ in what they are asked alone."""
        return replace(self, flips="none", crops="none")


@dataclass(frozen=True)
class Embedder:
    """A backbone, for photographs of `size` pixels a side; what it gave is left in the folder `kept`, to go on from.

    Attributes:
        views: test_flips and test_crops that it embeds photographs in to be asked about them.
    """

    backbone: keras.Model
    size: int
    kept: Path
    views: tuple[str, str] = ALL

    def of(self, root: Path, paths: list[str], look: Look | None = None) -> Embeddings:
        """A vector (width,) each."""
        return self._embedded(self.backbone, 16, root, paths, look)

    def seen(self, root: Path, paths: list[str], look: Look | None = None) -> Embeddings:
        """Vectors (views, width) each."""
        classifier = head.join(self.backbone, head.build(self.backbone.output_shape[-1], 1, 2))
        extract, _ = features.parts(test_time_augmentation.averaged(classifier, *self.views))
        found = self._embedded(extract, test_time_augmentation.batch_size(16, *self.views), root, paths, look)
        return replace(found, vectors=found.vectors[:].reshape(len(paths), -1, self.backbone.output_shape[-1]))

    def answers(self, model: keras.Model, own: Variant, seen: Vectors) -> Probabilities:
        """The mean of a head's answers for those of the views that the variant has."""
        order = test_time_augmentation.shown(*self.views)
        answer = engines.network(model, 4096, policy="float32", engine="tensorflow")
        chosen = [order.index(view) for view in test_time_augmentation.shown(own.flips, own.crops)]
        return np.asarray(np.mean([answer(seen[:, view]) for view in chosen], axis=0))

    def _embedded(self, model: keras.Model, rows: int, root: Path, paths: list[str], look: Look | None) -> Embeddings:
        what = [str(root), paths, self.size, model.output_shape, getattr(look, "__name__", look)]
        kept = self.kept / hashlib.sha256(repr(what).encode()).hexdigest()[:16]
        kept.mkdir(parents=True, exist_ok=True)
        network = engines.network(model, rows, policy="float32", engine="openvino")
        return local.embed(network, root, paths, image_size=self.size, view=look, kept=kept)
