"""How right a classifier is on labelled photographs from elsewhere, and that as JSON."""

from dataclasses import asdict
from typing import Any

from realwaste.cli import progress_bar
from realwaste.core.file_names import unicode
from realwaste.evaluation import external_sets
from realwaste.evaluation.external_sets import ExternalSet
from realwaste.images.reader import read_ahead
from realwaste.models.model_file import Facts
from realwaste.models.probabilities import Probabilities
from realwaste.models.session import Session


def measured(asked: Session, one: ExternalSet) -> dict[str, Any]:
    """external.compute_metrics of a classifier on `one`."""
    return external_sets.evaluate_predictions(one, asked.facts, answers(asked, one))


def answers(asked: Session, one: ExternalSet) -> Probabilities:
    """Of the images of `one`, (images, classes), not calibrated; with a bar where standard error is a terminal."""
    facts, files = asked.facts, one.files
    coming = read_ahead(files, facts.image_size, facts.batch_size)
    said = f"looking, {facts.batch_size} at once"
    return asked.of_batches(progress_bar.shown(coming, -(-len(files) // facts.batch_size), said))[0]


def rejected(one: ExternalSet) -> list[dict[str, str]]:
    """Path and reason of each file that is no image, for JSON."""
    return [{"path": unicode(row.path), "reason": unicode(row.reason)} for row in one.rejected.itertuples()]


def record(facts: Facts, one: ExternalSet, told: dict[str, Any]) -> dict[str, Any]:
    """Everything as one JSON object: the model's facts, its caution, what was read, and what was measured on it."""
    about = {"name": one.name} | one.facts | {"rejected": rejected(one), "matched": dict(one.known)}
    return {"model": asdict(facts), "caution": facts.caution(), "set": about} | told
