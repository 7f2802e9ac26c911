"""Photographs in class folders with the vectors of frozen backbones, which are computed once and cached."""

import hashlib
import zlib
from collections.abc import Callable, Mapping
from functools import cached_property, partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.parts.external_views import SimulatedExternal, crop_middle, keep_frame
from realwaste.core.files import atomic_replace
from realwaste.dataset import leakage, manifest
from realwaste.dataset.labels import classes_of
from realwaste.embedding import local_extraction
from realwaste.images.augmented_views import AugmentedView, ViewConfig
from realwaste.images.reader import ImageTransform
from realwaste.models import feature_extractor
from realwaste.runtime import device, inference_engine
from realwaste.runtime.inference_engine import Network

BLOCK = 10
_FIELD = ViewConfig(crop=0.6, stretch=0.5, color=0.4, background=0.5, degrade=0.4)  # as the set `field`
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
        near_duplicates, groups: as of realwaste.dataset.leakage.
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

    def vectors(self, backbone: Backbone, view: str = "whole", rows: NDArray[np.int64] | None = None) -> Vectors:
        """(n, width), of all photographs or of some rows, as they are or a view; a killed computation resumes."""
        if rows is not None:
            if view == "whole":
                return self.vectors(backbone)[rows]
            part = f"{view} {zlib.crc32(rows.tobytes()):08x}"
        else:
            part, rows = view, np.arange(len(self.files))

        def embed() -> Vectors:
            paths, folder = self.files["path"].iloc[rows].tolist(), self._folder(backbone, part)
            folder.mkdir(parents=True, exist_ok=True)
            job = partial(local_extraction.embed, image_size=backbone.size, checkpoint_dir=folder)
            return np.asarray(job(backbone.network, self.root, paths, view=self._transform(view)).vectors[:])

        return self.cached(backbone, part, "vectors", embed)

    def cached(self, backbone: Backbone, view: str, name: str, compute: Callable[[], Vectors]) -> Vectors:
        """What `compute` returns for the vectors of a view; it is computed once."""
        file = self._folder(backbone, view) / f"{name}.npy"
        if not file.is_file():
            values = compute()
            with atomic_replace(file) as temporary, temporary.open("wb") as stream:
                np.save(stream, values)
        return np.asarray(np.load(file, allow_pickle=False))

    def _folder(self, backbone: Backbone, view: str) -> Path:
        return self.cache / f"{backbone.name}-{backbone.size}" / view.replace(" ", "_")

    def _transform(self, view: str) -> ImageTransform | None:
        kind, _, number = view.partition(" ")
        if kind == "augmented":
            return AugmentedView(_FIELD, int(number))
        if kind == "external":
            simulated = SimulatedExternal({name: sorted((self.root / name).iterdir()) for name in self.classes})
            return simulated.cropped if number else simulated
        return {"whole": None, "frame": keep_frame, "crop": crop_middle}[kind]
