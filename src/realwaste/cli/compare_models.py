"""Two classifiers on the same labelled photographs: how right each is, and whether that shows a better one."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realwaste.cli import evaluate_model
from realwaste.core.errors import UserError
from realwaste.core.file_names import unicode
from realwaste.evaluation import differences, external, external_sets, intervals
from realwaste.evaluation.external_sets import ExternalSet
from realwaste.models.model_file import Facts
from realwaste.models.probabilities import Probabilities, defined


@dataclass(frozen=True)
class Pair:
    """Two models, as long as the photographs are open that they are asked about.

    Attributes:
        facts: of the first and the second.
        photographs: of which `comparable` are compared.
    """

    facts: tuple[Facts, Facts]
    photographs: ExternalSet

    @property
    def common(self) -> dict[str, str]:
        """Classes that both know: the second's name of each of the first's."""
        return _common(*self.facts)

    @property
    def only(self) -> tuple[list[str], list[str]]:
        """Classes that only the first knows, and only the second."""
        first, second = self.facts
        common = self.common
        return (
            [name for name in first.classes if name not in common],
            [name for name in second.classes if name not in common.values()],
        )

    @property
    def comparable(self) -> NDArray[np.bool_]:
        """(images,), whether both know a photograph's class."""
        return np.asarray(self.photographs.images["label"].isin(self.photographs.known))


@contextmanager
def opened(source: str, first: Facts, second: Facts) -> Iterator[Pair]:
    """The photographs at `source`, as of external_sets.open_external_set, for the classes that both models know.

    Raises:
        UserError: as there; the models have no class in common.
    """
    common = _common(first, second)
    if not common:
        rule = "Two models that are compared must know a class in common."
        raise UserError(rule, "Compare others.", [list(first.classes), list(second.classes)])
    with external_sets.open_external_set(source, list(common)) as photographs:
        yield Pair((first, second), photographs)


def compared(pair: Pair, raw: Sequence[Probabilities]) -> dict[str, Any]:
    """How right each is on the same photographs, the difference, first less second, and the exact tests of it.

    An answer is right if it is the photograph's class among all that the model knows. A difference is shown where the
    larger of two p-values is below 0.05: McNemar's of images, and a permutation test of groups of them, since
    photographs of one object are not independent.

    Args:
        raw: of each model for the photographs of the pair, (images, classes).
    """
    rows = pair.comparable
    labels = pair.photographs.images["label"][rows].map(pair.photographs.known)
    groups = pair.photographs.images["group"].to_numpy()[rows]
    right, accuracies = [], []
    for facts, given, names in zip(pair.facts, raw, (labels, labels.map(pair.common)), strict=True):
        numbers = np.array([facts.classes.index(name) for name in names])
        probabilities, undefined = defined(given[rows])
        right.append(probabilities.argmax(axis=1) == numbers)
        accuracies.append(
            intervals.accuracy_with_intervals(numbers, probabilities, groups) | {"undefined_answers": undefined}
        )
    first, second = right
    (shown,) = differences.compare_accuracies({"both": (first, second)}, groups).values()
    better = differences.find_better(shown, "first", "second")
    p = shown.pop("p_holm")  # of one comparison, which needs no correction
    return {
        "images": int(rows.sum()),
        "groups": len(np.unique(groups)),
        "models": accuracies,
        "only_first_right": int((first & ~second).sum()),
        "only_second_right": int((second & ~first).sum()),
        **shown,
        "p": p,
        "better": better,
    }


def record(pair: Pair, names: Sequence[str], told: dict[str, Any]) -> dict[str, Any]:
    """Everything as one JSON object: what is compared, on what, and `compared`; the models in the order given."""
    photographs = pair.photographs
    each = zip(names, pair.facts, pair.only, told["models"], strict=True)
    return {
        "set": {"name": photographs.name, **photographs.facts, "matched": dict(photographs.known)},
        "models": [
            {"name": unicode(name), "model": asdict(facts), "caution": facts.caution(), "only_it_knows": only, **own}
            for name, facts, only, own in each
        ],
        "rejected": evaluate_model.rejected(photographs),
    } | {key: value for key, value in told.items() if key != "models"}


def _common(first: Facts, second: Facts) -> dict[str, str]:
    return external.match_folders(first.classes, second.classes)
