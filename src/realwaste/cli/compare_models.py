"""Two models on the same external test set: their accuracies, the difference, and whether it is significant."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realwaste.cli.evaluate import rejected_records
from realwaste.core.errors import UserError
from realwaste.core.file_names import printable, to_unicode
from realwaste.evaluation import differences, external, external_sets, intervals
from realwaste.evaluation.external_sets import ExternalSet
from realwaste.models.model_file import ModelMetadata
from realwaste.models.probabilities import Probabilities, fill_undefined
from realwaste.models.training_photographs import TrainingPhotographs


@dataclass(frozen=True)
class ModelPair:
    """Two models and an open test set, of which the images where `is_comparable` is true are compared."""

    metadata: tuple[ModelMetadata, ModelMetadata]
    test_set: ExternalSet
    common_classes: dict[str, str]  # that both models have: the first's name to the second's

    @property
    def only_classes(self) -> tuple[list[str], list[str]]:
        """The classes that only the first model has, and those that only the second has."""
        first, second = self.metadata
        only_first = [name for name in first.classes if name not in self.common_classes]
        return only_first, [name for name in second.classes if name not in self.common_classes.values()]

    @property
    def is_comparable(self) -> NDArray[np.bool_]:
        """(images,): whether both models have the class of an image."""
        return np.asarray(self.test_set.images["label"].isin(self.test_set.class_of_folder))


@contextmanager
def open_pair(
    source: str, first: ModelMetadata, second: ModelMetadata, photographs: Sequence[TrainingPhotographs | None] = ()
) -> Iterator[ModelPair]:
    """Open the test set at `source` for the classes that both models have, without what they were trained on.

    Raises:
        UserError: as external_sets.open_external_set and leave_out_training; or the models have no class in common.
    """
    common = external.match_folders(first.classes, second.classes)
    if not common:
        rule = "Two models that are compared must have a class in common."
        raise UserError(rule, "Compare other models.", [list(first.classes), list(second.classes)])
    with external_sets.open_external_set(source, list(common)) as test_set:
        yield ModelPair((first, second), external_sets.leave_out_training(test_set, photographs), common)


def compare_predictions(
    pair: ModelPair, names: Sequence[str], probabilities: Sequence[Probabilities]
) -> dict[str, Any]:
    """The accuracy of each model, the difference (first minus second), exact tests of it, and the verdict in words.

    A prediction is correct if it is the image's class among all classes of the model. A model is better if the larger
    of two p-values is below 0.05: that of McNemar's test of images, and that of a permutation test of near-duplicate
    groups, since photographs of one object are not independent. With fewer than cluster_bootstrap.MIN_GROUPS groups,
    a difference that is not significant is no evidence for equal models, and the verdict says so.

    Args:
        probabilities: of each model for all images of the set, (images, classes), not calibrated.
    """
    rows = pair.is_comparable
    labels = pair.test_set.images["label"][rows].map(pair.test_set.class_of_folder)
    groups = pair.test_set.images["group"].to_numpy()[rows]
    names_by_model = labels, labels.map(pair.common_classes)
    correct, accuracies = [], []
    for metadata, raw, classes in zip(pair.metadata, probabilities, names_by_model, strict=True):
        y_true = np.array([metadata.classes.index(name) for name in classes])
        finite, undefined = fill_undefined(raw[rows])
        correct.append(finite.argmax(axis=1) == y_true)
        accuracies.append(intervals.accuracy_with_intervals(y_true, finite, groups) | {"undefined_answers": undefined})
    first, second = correct
    (difference,) = differences.compare_accuracies({"pair": (first, second)}, groups).values()
    better = differences.find_better(difference, "first", "second")
    verdict = differences.describe_verdict(difference, *map(printable, names))
    p = difference.pop("p_holm")  # of a single comparison, which Holm's correction does not change
    return {
        "images": int(rows.sum()),
        "groups": len(np.unique(groups)),
        "models": accuracies,
        "only_first_right": int((first & ~second).sum()),
        "only_second_right": int((second & ~first).sum()),
        **difference,
        "p": p,
        "better": better,
        "verdict": verdict,
    }


def comparison_record(pair: ModelPair, names: Sequence[str], comparison: dict[str, Any]) -> dict[str, Any]:
    """The values for JSON: the set, both models in the order given, and the result of `compare_predictions`."""
    test_set = pair.test_set
    about_set = {"name": test_set.name, **test_set.summary, "matched": dict(test_set.class_of_folder)}
    models = []
    for name, metadata, only, row in zip(names, pair.metadata, pair.only_classes, comparison["models"], strict=True):
        about_model = {"model": asdict(metadata), "caution": metadata.caution(), "only_it_knows": only}
        models.append({"name": to_unicode(name), **about_model, **row})
    record = {"set": about_set, "models": models, "rejected": rejected_records(test_set)}
    return record | {key: value for key, value in comparison.items() if key != "models"}
