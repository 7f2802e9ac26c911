"""A model's answer for every image, once, and that of its repeats for the test images."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realwaste.core.log import logger
from realwaste.evaluation import classification
from realwaste.images.array_shards import Shards
from realwaste.models import novelty, session
from realwaste.models.model_file import Classifier
from realwaste.models.probabilities import Probabilities, defined
from realwaste.models.session import Features
from realwaste.runtime import inference_engine
from realwaste.training import head

Vectors = Features | Shards


def replace_undefined(
    answered: tuple[Probabilities, Features], known: novelty.Novelty | None, tested: NDArray[np.integer], name: str
) -> tuple[Probabilities, dict[str, Any]]:
    """The probabilities with 1/n where they are no numbers, and for metrics: how many of these rows there were.

    And the share of the test pictures, rows `tested`, that are unlike anything learned, where the model can say.
    """
    raw, features = answered
    probabilities, undefined = defined(raw)
    if undefined:
        logger.warning("%s diverged: %d of its answers are no numbers, counted as 1/n", name, undefined)
    told: dict[str, Any] = {"undefined_answers": undefined}
    if known is not None:
        strange = known.strangeness(features[tested[novelty.sample(len(tested))]])
        told["strange_test_share"] = float((strange > known.threshold).mean())
    return probabilities, told


def evaluate_repeats(
    classifier: Classifier,
    heads: Path,
    asked: tuple[Sequence[Path], Vectors | None],
    labels: NDArray[np.integer],
    inference: str,
) -> dict[str, Any]:
    """classification.summarize_repeats of what finetune left in `heads`.

    Args:
        asked: files of the test images, and their cached vectors where the head is enough.
        labels: of the test images.
        inference: as of `base.inference`.
    """
    again = [defined(one) for one in _answers_of_repeats(classifier, heads, *asked, inference)]
    return classification.summarize_repeats(labels, [one for one, _ in again], sum(wrong > 0 for _, wrong in again))


def _answers_of_repeats(
    classifier: Classifier, heads: Path, files: Sequence[Path], vectors: Vectors | None, inference: str
) -> Iterator[Probabilities]:
    for model in head.with_trained(classifier.model, heads):
        if vectors is None:
            yield session.of(replace(classifier, model=model), inference=inference).of_files(files)[0]
        else:
            yield inference_engine.compile_network(head.of(model), len(files), policy="float32", engine="tensorflow")(
                vectors[:]
            )
