"""What is known of one model: its card, else the facts in its file."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from rich import box
from rich.table import Table
from rich.text import Text

from realwaste.cli import model_list, model_resolution
from realwaste.cli.model_list import Entry
from realwaste.core.errors import UserError
from realwaste.core.file_names import printable
from realwaste.models import model_file
from realwaste.models.model_file import Facts

_FENCE = "---\n"
_MAX_CARD_CHARACTERS = 1 << 20


@dataclass(frozen=True)
class Info:
    """Of one model.

    Attributes:
        entry: its file; None where only its card is here, as in a fresh clone.
        card: the text of its model card without the metadata; None where there is none, or where it is of another
            model than the file.
        stale: the path of a card that is of another model.
        threshold, learned: as of Novelty: the strangeness from which on a photograph is unlike what was learned, and
            how many pictures that is told by; None where the model has no measure of it.
    """

    entry: Entry | None
    card: str | None
    stale: Path | None = None
    threshold: float | None = None
    learned: int | None = None

    def record(self) -> dict[str, Any]:
        """As JSON has it."""
        about = {} if self.entry is None else self.entry.record()
        return about | {"strangeness_threshold": self.threshold, "learned": self.learned, "card": self.card}


def of(name: str | None) -> Info:
    """As of model_choice.choose.

    Raises:
        UserError: neither a model nor a card; a file that is no model.
    """
    try:
        path = model_resolution.find(name)
        facts = model_file.facts_of(path)
    except UserError:
        card = model_resolution.folder() / f"{name}.md"
        if name is None or Path(name).name != name or not card.is_file():
            raise
        return Info(None, _parts(card)[1])
    known = model_file.novelty_of(path)
    threshold, learned = (None, None) if known is None else (known.threshold, len(known.learned))
    one, card = model_list.entry(path), path.with_suffix(".md")
    if not card.is_file():
        return Info(one, None, None, threshold, learned)
    metadata, text = _parts(card)
    if _is_of(metadata, facts):
        return Info(one, text, None, threshold, learned)
    return Info(one, None, card, threshold, learned)


def table(info: Info) -> Table:
    """The facts in the file."""
    drawn = Table(box=box.SIMPLE, pad_edge=False, show_header=False)
    drawn.add_column(style="bold")
    drawn.add_column(overflow="fold")
    for what, value in _facts(info):
        drawn.add_row(what, Text(printable(value)))
    return drawn


def _facts(info: Info) -> list[tuple[str, str]]:
    one = info.entry
    if one is None or one.facts is None:
        return []
    facts, size = one.facts, one.facts.image_size
    known = "says nothing of it"
    if info.threshold is not None:
        known = f"from a strangeness of {info.threshold:.3f} on, by {info.learned:,} pictures that it learned"
    rows = [
        ("file", f"{one.path}, {one.size / 1e6:.1f} MB"),
        ("name", facts.name),
        ("caution", facts.caution() or ""),
        ("classes", f"{len(facts.classes)}: {', '.join(facts.classes)}"),
        ("data", facts.dataset),
        ("backbone", f"{facts.backbone}, weights: {facts.weights}"),
        ("photographs", f"stretched to {size} x {size} pixels, {facts.batch_size} at once"),
        ("computes in", facts.precision),
        ("temperature", f"{facts.temperature:g}"),
        ("unlike anything", known),
    ]
    return [(what, value) for what, value in rows if value]


def _parts(card: Path) -> tuple[Mapping[str, Any] | None, str]:
    """The metadata block, None where it is not there or damaged, and the text behind it."""
    with card.open(encoding="utf-8", errors="replace") as file:
        text = file.read(_MAX_CARD_CHARACTERS)
    if not text.startswith(_FENCE) or text.count(_FENCE) < 2:
        return None, text
    _, block, rest = text.split(_FENCE, 2)
    try:
        metadata = yaml.safe_load(block)
    except (yaml.YAMLError, RecursionError, ValueError):  # ValueError of a date that is none
        return None, rest.lstrip()
    return metadata if isinstance(metadata, Mapping) else None, rest.lstrip()


def _is_of(metadata: Mapping[str, Any] | None, facts: Facts) -> bool:
    """Whether a card may be that of a model: cards are in git, and models are not. One without metadata may be."""
    if metadata is None:
        return True
    try:
        dataset = metadata["model-index"][0]["results"][0]["dataset"]["name"]
        return bool(dataset == facts.dataset and facts.backbone in metadata.get("tags", ()))
    except (KeyError, IndexError, TypeError):
        return True
