"""A classifier that only answers, by the engine that is fastest for it: what `predict`, `serve` and the stages ask."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from realwaste.models import model_file
from realwaste.models.model_file import Classifier, Facts
from realwaste.models.novelty import Novelty
from realwaste.models.probabilities import Probabilities
from realwaste.images.reader import Pixels, read_ahead
from realwaste.images.array_shards import Shards
from realwaste.runtime import inference_engine
from realwaste.runtime.inference_engine import Network

if TYPE_CHECKING:
    from realwaste.runtime.converted_cache import Networks

Features = NDArray[np.float32]
_PARTS = ("extract", "classify")


@dataclass(frozen=True)
class Session:
    """RGB uint8 pictures (n, image_size, image_size, 3) in; probabilities (n, classes) and features (n, width) out.

    Attributes:
        novelty: as of Classifier.
        prepare: makes `extract`, once it is needed.
        classify: features to probabilities, in float32.
    """

    facts: Facts
    novelty: Novelty | None
    prepare: Callable[[], Network]
    classify: Network

    @cached_property
    def extract(self) -> Network:
        """Pictures to features, (width,) or (views, width) of each, in the precision in which they were tested."""
        return self.prepare()

    def __call__(self, pictures: Pixels) -> tuple[Probabilities, Features]:
        seen = self.extract(pictures)
        return self.classify(seen), seen if seen.ndim == 2 else seen[:, 0]

    def of_batches(self, batches: Iterable[Pixels]) -> tuple[Probabilities, Features]:
        """Of pictures that need not fit in memory together."""
        probabilities, features = zip(*(self(batch) for batch in batches), strict=True)
        return np.concatenate(probabilities), np.concatenate(features)

    def of_files(
        self, files: Sequence[Path], features: Features | Shards | None = None
    ) -> tuple[Probabilities, Features]:
        """Of image files, read a batch at a time; or by their features, where those were kept."""
        if features is None:
            return self.of_batches(read_ahead(files, self.facts.image_size, self.extract.rows))
        return self.classify(features[:]), features[:]


def of(classifier: Classifier, *, inference: str = "auto", rows: int | None = None) -> Session:
    """A session of what is in memory.

    Args:
        inference: as of `base.inference`.
        rows: of a batch; facts.batch_size without it.
    """
    from realwaste.models import feature_split  # noqa: PLC0415 - TensorFlow, which a kept network need not wait for

    facts, at_once = classifier.facts, rows or classifier.facts.batch_size
    engine = inference_engine.resolve(inference, facts.precision)
    extract, classify = feature_split.parts(classifier.model)
    return Session(
        facts,
        classifier.novelty,
        partial(inference_engine.network, extract, at_once, policy=facts.precision, engine=engine),
        inference_engine.network(classify, at_once, policy="float32", engine=engine),
    )


def opened(
    path: Path,
    *,
    inference: str = "auto",
    rows: int | None = None,
    load: Callable[[Path], Classifier] = model_file.load,
) -> Session:
    """A session of a model file; without TensorFlow where OpenVINO computes, and has been given the file before.

    Args:
        inference: as of `base.inference`.
        rows: of a batch; facts.batch_size without it.
        load: reads the file where that is needed.

    Raises:
        UserError: as of model_file.load.
    """
    facts = model_file.facts_of(path)
    if inference_engine.resolve(inference, facts.precision) == "tensorflow":
        return of(load(path), inference="tensorflow", rows=rows)
    from realwaste.runtime import openvino_network, converted_cache  # noqa: PLC0415 - which TensorFlow need not wait for

    networks = converted_cache.kept(path, _PARTS, lambda: _converted(load(path)))
    extract, classify = (networks[name] for name in _PARTS)
    at_once = rows or facts.batch_size
    return Session(
        facts,
        model_file.novelty_of(path),
        partial(openvino_network.network, extract, at_once, facts.precision),
        openvino_network.network(classify, at_once, "float32"),
    )


def _converted(classifier: Classifier) -> "Networks":
    from realwaste.models import feature_split  # noqa: PLC0415 - TensorFlow
    from realwaste.runtime import openvino_conversion  # noqa: PLC0415

    return dict(zip(_PARTS, map(openvino_conversion.converted, feature_split.parts(classifier.model)), strict=True))
