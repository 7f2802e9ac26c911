"""How right a classifier is on labelled photographs from elsewhere, and that as JSON."""

from dataclasses import asdict
from typing import Any

from rich.progress import track

from realwaste.classifier.model_file import Facts
from realwaste.classifier.session import Session
from realwaste.core import log
from realwaste.evaluation import external_sets
from realwaste.evaluation.external_sets import ExternalSet
from realwaste.images.reader import read_ahead
from realwaste.sources.file_names import unicode


def measured(asked: Session, one: ExternalSet) -> dict[str, Any]:
    """external.summary of a classifier on `one`, with a bar on standard error where that is a terminal."""
    facts, files = asked.facts, one.files
    coming = read_ahead(files, facts.image_size, facts.batch_size)
    total, hidden = -(-len(files) // facts.batch_size), not log.console.is_terminal
    bar = track(coming, "looking", total=total, console=log.console, disable=hidden, transient=True)
    return external_sets.measured(one, facts, asked.of_batches(bar)[0])


def record(facts: Facts, one: ExternalSet, told: dict[str, Any]) -> dict[str, Any]:
    """Everything as one JSON object: the model's facts, its caution, what was read, and what was measured on it."""
    rejected = [{"path": unicode(row.path), "reason": unicode(row.reason)} for row in one.rejected.itertuples()]
    about = {"name": one.name} | one.facts | {"rejected": rejected, "matched": dict(one.known)}
    return {"model": asdict(facts), "caution": facts.caution(), "set": about} | told
