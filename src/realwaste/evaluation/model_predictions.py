"""Checks of a model's predictions for all images, and the test metrics of its repeated trainings."""

import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realwaste.core.log import logger
from realwaste.evaluation import classification
from realwaste.images.array_shards import Shards
from realwaste.models import model_file, novelty, session
from realwaste.models.probabilities import Probabilities, fill_undefined
from realwaste.models.session import Features
from realwaste.runtime import inference_engine

CachedFeatures = Features | Shards


def check_predictions(
    predictions: tuple[Probabilities, Features],
    detector: novelty.Novelty | None,
    test_rows: NDArray[np.integer],
    name: str,
) -> tuple[Probabilities, dict[str, Any]]:
    """Fills undefined predictions, and measures how many there were and how novel the test images are.

    Args:
        predictions: probabilities (n, classes) and features (n, width) of all images.
        detector: the model's novelty detector; None if it has none.
        test_rows: row indices of the test images.

    Returns:
        The probabilities, where rows with NaN are 1 / classes; and for metrics the number of these rows, and with a
        detector the share of the test images that it calls unlike anything the model has learned.
    """
    raw, features = predictions
    probabilities, undefined = fill_undefined(raw)
    if undefined:
        logger.warning("%s diverged: %d of its predictions are NaN and count as 1/n for each class", name, undefined)
    metrics: dict[str, Any] = {"undefined_answers": undefined}
    if detector is not None:
        scores = detector.scores(features[test_rows[novelty.sample_indices(len(test_rows))]])
        metrics["strange_test_share"] = float((scores > detector.threshold).mean())
    return probabilities, metrics


def evaluate_repeats(
    file: Path,
    heads: Path,
    test_inputs: tuple[Sequence[Path], CachedFeatures | None],
    labels: NDArray[np.integer],
    inference: str,
) -> dict[str, Any]:
    """classification.summarize_repeats of the repeated trainings that finetune saved in `heads`.

    Args:
        file: of the model, which is loaded only if there are repeats.
        test_inputs: files of the test images, and their cached features if the backbone is frozen.
        labels: class indices of the test images.
        inference: the value of `base.inference`.
    """
    return classification.summarize_repeats(labels, list(_predict_with_repeats(file, heads, *test_inputs, inference)))


def _predict_with_repeats(
    file: Path, heads: Path, files: Sequence[Path], features: CachedFeatures | None, inference: str
) -> Iterator[Probabilities]:
    with zipfile.ZipFile(heads) as archive:
        if not archive.namelist():
            return
    classifier = model_file.load(file)
    from realwaste.training import head  # noqa: PLC0415 - TensorFlow

    for model in head.load_each_trained(classifier.model, heads):
        if features is None:
            yield session.from_classifier(replace(classifier, model=model), inference=inference).predict_files(files)[0]
        else:
            yield inference_engine.compile_network(
                head.get_head(model), len(files), policy="float32", engine="tensorflow"
            )(features[:])
