"""Labelled photographs from elsewhere, read and checked: what `external` measures models on."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from realwaste.core.errors import UserError
from realwaste.core.log import logger
from realwaste.dataset import leakage, manifest
from realwaste.evaluation import external, intervals, prediction_table
from realwaste.models.model_file import Facts
from realwaste.models.probabilities import Probabilities, defined
from realwaste.models.temperature_scaling import tempered
from realwaste.sources import labelled_images

_SHOWN = 5
_BLOCK = 10  # photographs a run, as split.block has it at home


@dataclass(frozen=True)
class ExternalSet:
    """A set of which models with certain classes are asked, as long as it is open.

    Attributes:
        name, source, root: as labelled.Labelled has them.
        known: the class of each folder that the models have one for.
        images: realwaste.dataset.manifest.Scan's manifest, whose label is the folder's name, with the group of each.
        rejected: path and reason of each file that is no image; none of them is asked about.
    """

    name: str
    source: str
    root: Path
    known: Mapping[str, str]
    images: pd.DataFrame
    rejected: pd.DataFrame

    @property
    def files(self) -> list[Path]:
        """The images, in the order in which `evaluate_predictions` takes their probabilities."""
        return [self.root / path for path in self.images["path"]]

    @property
    def facts(self) -> dict[str, Any]:
        """For metrics: what was measured on. sha256 is one of all images with their labels; file names do not count."""
        content = sorted(self.images["sha256"] + " " + self.images["label"])
        return {
            "source": self.source,
            "images": len(self.images),
            "rejected": len(self.rejected),
            "sha256": hashlib.sha256("\n".join(content).encode()).hexdigest(),
        }

    @property
    def complaint(self) -> str:
        """How many files are no images, and which."""
        named = [f"{row.path} ({row.reason})" for row in self.rejected.head(_SHOWN).itertuples()]
        more = ", …" if len(self.rejected) > _SHOWN else ""
        return f"{len(self.rejected)} of {len(self.rejected) + len(self.images)} files: {', '.join(named)}{more}"


@contextmanager
def open_external_set(source: str, classes: Sequence[str]) -> Iterator[ExternalSet]:
    """The set at `source` for models of these classes; every file is decoded once.

    Raises:
        UserError: as of labelled.opened; no folder of a known class, or no readable image in one.
    """
    with labelled_images.opened(source) as found:
        known = external.match_folders(found.folders, classes)
        if not known:
            raise UserError(
                f"{found.source} must have a folder of a class that the model knows: {', '.join(classes)}.",
                "Name its folders so; upper and lower case, spaces, `_` and `-` are all the same.",
                list(found.folders),
            )
        scan = manifest.scan(found.root)
        group = leakage.groups(scan.manifest, _BLOCK)
        images = scan.manifest.assign(group=group)
        one = ExternalSet(found.name, found.source, found.root, known, images, scan.rejected)
        if not one.images["label"].isin(known).any():
            rule = f"{found.source} must have a readable image of a class that the model knows."
            raise UserError(rule, "Mend its files.", one.complaint)
        yield one


@contextmanager
def open_external_sets(sources: Sequence[str], classes: Sequence[str]) -> Iterator[dict[str, ExternalSet]]:
    """Each of `sources` by its name; a second one of the same name has a number after it."""
    with ExitStack() as stack:
        sets: dict[str, ExternalSet] = {}
        for source in sources:
            one = stack.enter_context(open_external_set(source, classes))
            same = sum(other.name == one.name for other in sets.values())
            name = f"{one.name} ({same + 1})" if same else one.name
            sets[name] = one
            if len(one.rejected):
                logger.warning("%s: no images, and left out: %s", name, one.complaint)
        yield sets


def evaluate_predictions(one: ExternalSet, facts: Facts, raw: Probabilities) -> dict[str, Any]:
    """external.compute_metrics of the model's answers as they came, (images, classes); calibrated here, as `predict` does."""
    probabilities, undefined = defined(raw)
    labels = [one.known.get(folder, folder) for folder in one.images["label"]]
    told = external.compute_metrics(
        labels, tempered(probabilities, facts.temperature), facts.classes, one.images["group"].to_numpy()
    )
    return told | {"undefined_answers": undefined}


def evaluate_in_domain_and_external(
    one: ExternalSet, facts: Facts, raw: Probabilities, tested: pd.DataFrame
) -> dict[str, dict[str, Any]]:
    """`evaluate_predictions`, the same model on the test images at home of the same classes, and the change of its accuracy.

    Args:
        tested: its rows of the predictions table, of the test images.
    """
    outside = evaluate_predictions(one, facts, raw)
    same = tested[tested["label"].isin(set(one.known.values()))]
    labels, answers = prediction_table.labels_of(same), prediction_table.probabilities_of(same)
    home = external.score_predictions(labels, tempered(answers, facts.temperature), same["group"].to_numpy())
    return {"home": home, "outside": outside, "change": intervals.accuracy_change(home, outside)}
