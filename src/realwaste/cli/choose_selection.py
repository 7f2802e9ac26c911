"""Predictions of one or several models for unlabelled photographs, and the selection of those to label."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realwaste.cli import choose_acquisition, predictions_csv
from realwaste.cli.output_options import Kind
from realwaste.core.csv_rows import Value, path_cell
from realwaste.core.errors import UserError
from realwaste.core.file_names import to_unicode
from realwaste.models import image_predictions
from realwaste.models.image_predictions import ClassProbability, ImagePrediction
from realwaste.models.session import Session
from realwaste.runtime.inference_engine import Network

SHOWN_CLASSES = 2  # per photograph


@dataclass(frozen=True)
class Candidate:
    """A photograph and the mean prediction of the models.

    Attributes:
        predictions: every class with its mean probability, the most probable first.
        uncertainty: 1 minus the difference of the first two probabilities, 0 to 1.
        models_disagreeing: how many models have another most probable class.
        is_novel: whether a model finds it unlike its training images; None if no model has a novelty score.
    """

    path: Path
    predictions: tuple[ClassProbability, ...]
    uncertainty: float
    models_disagreeing: int
    is_novel: bool | None


@dataclass(frozen=True)
class Selection:
    """The photographs to label.

    Attributes:
        selected: the most uncertain first.
        candidate_count: from how many photographs they were selected.
        errors: path and reason of each photograph without a prediction.
    """

    selected: list[Candidate]
    candidate_count: int
    errors: list[tuple[Path, str]]


Vector = NDArray[np.float32]
ModelPredictions = list[tuple[ImagePrediction, Vector | None]]
"""What `predict_with_features` yields for one model."""


def check_same_classes(sessions: Sequence[Session]) -> None:
    """Raise UserError unless all models have the same classes: otherwise their predictions have no mean."""
    first, *others = [session.facts for session in sessions]
    for other in others:
        if other.classes != first.classes:
            rule = f"Models that are used together must have the same classes; {first.name} and {other.name} do not."
            raise UserError(rule, "Name other models, or only one.", list(other.classes))


def predict_with_features(session: Session, paths: Sequence[Path]) -> Iterator[tuple[ImagePrediction, Vector | None]]:
    """`image_predictions.predict_images`, each with the image's features (width,); None if the image cannot be read."""
    network = session.classify
    recording = _RecordingNetwork(network.run, network.batch_size, network.shape)
    for prediction in image_predictions.predict_images(replace(session, classify=recording), paths):
        has_features = prediction.error in {None, image_predictions.UNDEFINED}
        yield prediction, recording.features.popleft() if has_features else None


@dataclass(frozen=True)
class _RecordingNetwork(Network):
    """The classification head, which records the features it is called with; of several augmented views, the first."""

    features: deque[Vector] = field(default_factory=deque)

    def __call__(self, inputs: NDArray[Any]) -> NDArray[np.float32]:
        self.features.extend(inputs[:, 0] if inputs.ndim == 3 else inputs)
        return super().__call__(inputs)


def select_photos(by_model: Sequence[ModelPredictions], classes: Sequence[str], count: int) -> Selection:
    """Select at most `count` photographs.

    Args:
        by_model: for each model, its predictions for the same photographs.
        classes: of all models.
    """
    errors, readable = [], []
    for row in zip(*by_model, strict=True):
        failed = [prediction for prediction, _ in row if prediction.error is not None]
        if failed:
            errors.append((failed[0].path, failed[0].error or ""))
        else:
            readable.append(row)
    if not readable:
        return Selection([], 0, errors)
    by_name = [
        [{ranked.name: ranked.probability for ranked in prediction.predictions} for prediction, _ in row]
        for row in readable
    ]
    # (photographs, models, classes)
    probabilities = np.array([[[model[name] for name in classes] for model in row] for row in by_name])
    mean = probabilities.mean(axis=1)
    uncertainty = choose_acquisition.margin_uncertainty(mean)
    disagreeing = (probabilities.argmax(axis=2) != mean.argmax(axis=1)[:, np.newaxis]).sum(axis=1)
    # The features of all models side by side, (photographs, sum of widths); each model has the same weight.
    vectors = [np.stack([np.asarray(vector) for _, vector in rows]) for rows in zip(*readable, strict=True)]
    features = np.concatenate([choose_acquisition.l2_normalize(rows) for rows in vectors], axis=1)
    selected = []
    for n in choose_acquisition.select_batch(uncertainty, choose_acquisition.l2_normalize(features), count):
        novel = [prediction.is_novel for prediction, _ in readable[n] if prediction.is_novel is not None]
        ranked = image_predictions.rank_classes(mean[n], classes)
        is_novel = any(novel) if novel else None
        photo = readable[n][0][0].path
        selected.append(Candidate(photo, ranked, float(uncertainty[n]), int(disagreeing[n]), is_novel))
    return Selection(selected, len(readable), errors)


def selection_record(sessions: Iterable[Session], selection: Selection) -> dict[str, Any]:
    """The values for JSON."""
    return {
        "models": [image_predictions.model_record(session) for session in sessions],
        "candidates": selection.candidate_count,
        "chosen": [
            {
                "path": to_unicode(candidate.path),
                "uncertainty": candidate.uncertainty,
                "predictions": [prediction.record() for prediction in candidate.predictions[:SHOWN_CLASSES]],
                "models_disagreeing": candidate.models_disagreeing,
                "unlike": candidate.is_novel,
            }
            for candidate in selection.selected
        ],
        "errors": [{"path": to_unicode(path), "error": to_unicode(error)} for path, error in selection.errors],
    }


_COLUMNS = ("path", "label", "uncertainty", "best", "best_probability", "second", "second_probability")


def _is_unlabelled_list(file: Path) -> bool:
    """Whether a file was written by `write_csv`, and its column `label` is still empty."""
    columns = predictions_csv.read_header(file)
    if columns[:3] != list(_COLUMNS[:3]) or columns[-1] != "unlike":
        return False
    return not any(row.get("label") for row in predictions_csv.read_rows(file))


UNLABELLED_LIST = Kind("a list of an earlier run without labels", _is_unlabelled_list)


def write_csv(file: Path, selection: Selection) -> None:
    """Write a row per photograph for a spreadsheet: path, an empty label to fill in, and the predictions."""
    header = [*_COLUMNS, "models_disagreeing", "unlike"]
    with predictions_csv.lock(file), predictions_csv.write_rows(file, header, UNLABELLED_LIST) as write:
        for candidate in selection.selected:
            cells: list[Value] = []
            for prediction in candidate.predictions[:SHOWN_CLASSES]:
                cells += [prediction.name, round(prediction.probability, 4)]
            cells += [None] * (2 * SHOWN_CLASSES - len(cells))
            path = path_cell(str(candidate.path))
            uncertainty = round(candidate.uncertainty, 4)
            write([path, None, uncertainty, *cells, candidate.models_disagreeing, candidate.is_novel])
