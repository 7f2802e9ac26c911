"""A classifier compiled for inference by the fastest engine: what `predict`, `serve` and the stages predict with."""

import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from realwaste.images.array_shards import Shards
from realwaste.images.reader import Pixels, prefetch_batches, read_image
from realwaste.models import model_file
from realwaste.models.model_file import Classifier, ModelMetadata
from realwaste.models.novelty import Novelty
from realwaste.models.probabilities import Probabilities
from realwaste.runtime import inference_engine
from realwaste.runtime.inference_engine import Network

if TYPE_CHECKING:
    from realwaste.models.inference_networks import Networks

Features = NDArray[np.float32]


@dataclass(frozen=True)
class Session:
    """RGB uint8 images (n, image_size, image_size, 3) in; probabilities (n, classes) and features (n, width) out.

    The probabilities are not calibrated: realwaste.models.probabilities.apply_temperature is the caller's.
    """

    metadata: ModelMetadata
    novelty: Novelty | None
    compile_extract: Callable[[], Network]  # called when `extract` is first used
    classify: Network  # features to probabilities, in float32

    @cached_property
    def extract(self) -> Network:
        """Images to features, (n, width) or (n, views, width), in the precision in which the model was tested."""
        return self.compile_extract()

    def __call__(self, images: Pixels) -> tuple[Probabilities, Features]:
        features = self.extract(images)
        return self.classify(features), features if features.ndim == 2 else features[:, 0]

    def predict_batches(self, batches: Iterable[Pixels]) -> tuple[Probabilities, Features]:
        """Predict batches of images, which need not fit in memory together."""
        probabilities, features = zip(*(self(batch) for batch in batches), strict=True)
        return np.concatenate(probabilities), np.concatenate(features)

    def predict_files(
        self, files: Sequence[Path], features: Features | Shards | None = None
    ) -> tuple[Probabilities, Features]:
        """Predict image files, read a batch at a time, or from their features if the caller has stored them."""
        if features is None:
            return self.predict_batches(prefetch_batches(files, self.metadata.image_size, self.extract.batch_size))
        return self.classify(features[:]), features[:]

    def measure_latency(self, file: Path, repeats: int) -> float:
        """Median milliseconds from an image file to its class; the session predicts one image at a time."""
        seconds = []
        for _ in range(repeats + 1):
            start = time.perf_counter()
            self(read_image(file, self.metadata.image_size)[np.newaxis])
            seconds.append(time.perf_counter() - start)
        return statistics.median(seconds[1:]) * 1000  # the first call may build a graph


def from_classifier(classifier: Classifier, *, inference: str = "auto", batch_size: int | None = None) -> Session:
    """A session of a classifier in memory; for `inference` and `batch_size` see `open_session`."""
    from realwaste.models import feature_split  # noqa: PLC0415 - TensorFlow, which a cached network does not need

    metadata, batch_size = classifier.metadata, batch_size or classifier.metadata.batch_size
    engine = inference_engine.resolve_engine(inference, metadata.precision)
    if engine == "openvino" and classifier.networks is not None:
        return _from_networks(metadata, classifier.novelty, classifier.networks, batch_size)
    extract, classify = feature_split.split_classifier(classifier.model)
    return Session(
        metadata,
        classifier.novelty,
        partial(inference_engine.compile_network, extract, batch_size, policy=metadata.precision, engine=engine),
        inference_engine.compile_network(classify, batch_size, policy="float32", engine=engine),
    )


def open_session(
    path: Path,
    *,
    inference: str = "auto",
    batch_size: int | None = None,
    load: Callable[[Path], Classifier] = model_file.load,
    threads: int | None = None,
) -> Session:
    """A session of a model file; TensorFlow is imported only on a GPU, in float16, or for files of earlier versions.

    Args:
        inference: the engine, as in `base.inference`.
        batch_size: metadata.batch_size by default.
        load: called if the Keras model is needed.
        threads: of OpenVINO for one batch; one per core by default. The results do not depend on it.

    Raises:
        UserError: see model_file.load.
    """
    metadata = model_file.read_metadata(path)
    if inference_engine.resolve_engine(inference, metadata.precision) == "tensorflow":
        return from_classifier(load(path), inference="tensorflow", batch_size=batch_size)
    from realwaste.models import inference_networks  # noqa: PLC0415 - OpenVINO, which is not needed on a GPU

    novelty = model_file.read_novelty(path)
    networks = inference_networks.load(
        path, metadata.image_size, len(metadata.classes), novelty, build_model=lambda: load(path).model
    )
    return _from_networks(metadata, novelty, networks, batch_size or metadata.batch_size, threads)


def _from_networks(
    metadata: ModelMetadata,
    novelty: Novelty | None,
    networks: "Networks",
    batch_size: int,
    threads: int | None = None,
) -> Session:
    from realwaste.runtime import openvino_network  # noqa: PLC0415 - OpenVINO, which is not needed on a GPU

    extract, classify = networks["extract"], networks["classify"]
    return Session(
        metadata,
        novelty,
        partial(openvino_network.compile_network, extract, batch_size, metadata.precision, threads),
        openvino_network.compile_network(classify, batch_size, "float32", threads),
    )
