"""Photographs in class folders with the vectors of frozen backbones, which are computed once and cached."""

import hashlib
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from realwaste.core.files import atomic_replace
from realwaste.dataset import leakage, manifest
from realwaste.dataset.labels import classes_of
from realwaste.embedding import extraction
from realwaste.evaluation import background_views
from realwaste.images.reader import Pixels, resize_image
from realwaste.models import feature_extractor
from realwaste.runtime import device, inference_engine
from realwaste.runtime.inference_engine import Network

BLOCK = 10
Vectors = NDArray[np.float32]


class Backbone:
    """A frozen backbone in a .keras file."""

    def __init__(self, file: str, size: int) -> None:
        self.file, self.size, self.name = file, size, Path(file).stem

    @cached_property
    def network(self) -> Network:
        """Compiled for inference, in bfloat16 if the hardware supports it, as by default in the pipeline."""
        model = feature_extractor.build(self.file, self.size, None, seed=0)
        return inference_engine.compile_network(model, 16, policy=device.resolve_precision("auto"), engine="openvino")


class Photographs:
    """Photographs of root/<Class>/.

    Attributes:
        files: the manifest; labels: class numbers.
        order: the evidence for the capture order, which does not use the published counts.
        near_duplicates, groups: see realwaste.dataset.leakage.
    """

    def __init__(self, root: Path, cache: Path, published: Mapping[str, int] | None = None) -> None:
        self.root = root
        table = manifest.read_files(root).assign(dropped=False)
        self.order = manifest.build_manifest(table.copy(), None).order
        self.files = manifest.build_manifest(table, published).manifest
        self.classes = np.array(classes_of(self.files))
        self.labels = np.searchsorted(self.classes, self.files["label"])
        contents = hashlib.sha256("".join(self.files["sha256"]).encode()).hexdigest()
        self.cache = cache / f"{root.name}-{contents[:8]}"
        self.cache.mkdir(parents=True, exist_ok=True)
        self.near_duplicates = leakage.find_near_duplicates(self.files)
        self.groups = leakage.assign_groups(self.files, BLOCK, self.near_duplicates)

    def vectors(self, backbone: Backbone, view: str = "whole") -> Vectors:
        """(n, width), of the whole photographs or of their outer frame; a killed computation resumes."""

        def embed() -> Vectors:
            paths, folder = self.files["path"].tolist(), self._folder(backbone, view)
            folder.mkdir(parents=True, exist_ok=True)
            transform = _keep_frame if view == "frame" else None
            embeddings = extraction.embed(
                backbone.network, self.root, paths, image_size=backbone.size, checkpoint_dir=folder, view=transform
            )
            return np.asarray(embeddings.vectors[:])

        return self.cached(backbone, view, "vectors", embed)

    def unit_vectors(self, backbone: Backbone) -> Vectors:
        """The vectors of the whole photographs, of length 1."""
        vectors = self.vectors(backbone)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    def cached(self, backbone: Backbone, view: str, name: str, compute: Callable[[], Vectors]) -> Vectors:
        """What `compute` returns for the vectors of a view; it is computed once."""
        file = self._folder(backbone, view) / f"{name}.npy"
        if not file.is_file():
            values = compute()
            with atomic_replace(file) as temporary, temporary.open("wb") as stream:
                np.save(stream, values)
        return np.asarray(np.load(file, allow_pickle=False))

    def _folder(self, backbone: Backbone, view: str) -> Path:
        return self.cache / f"{backbone.name}-{backbone.size}" / view


def _keep_frame(_: Path, image: Pixels, size: int) -> Pixels:
    """The outer frame alone, 12 % of each side."""
    return np.asarray(background_views.frame(resize_image(image, size)[np.newaxis])[0])
