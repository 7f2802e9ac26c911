"""`realwaste info`: the card of one model, or the facts in its file."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich import box
from rich.table import Table
from rich.text import Text

from realwaste.cli import model_loading, models, standard_output
from realwaste.cli.models import SavedModel
from realwaste.cli.options import AsJson, complete_model_name
from realwaste.core.errors import UserError
from realwaste.core.file_names import printable
from realwaste.core.log import logger
from realwaste.models import model_file
from realwaste.models.model_file import Facts
from realwaste.models.novelty import Novelty

_FENCE = "---\n"
_MAX_CARD_CHARACTERS = 1 << 20


def info(
    model: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME|FILE",
            help="A name or a path, as for --model of other commands. Without it: the model that they use by default.",
            show_default=False,
            autocompletion=complete_model_name,
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show a model's card: what it was trained on, its test results, and its limits.

    If there is no card beside the model file, or the card belongs to another model, show the facts in the file.

    Example: `realwaste info irv2`
    """
    described = read_info(model)
    if described.model is None:
        logger.warning("this is the card of %s, whose file is not here: `dvc repro` makes it", model)
    else:
        model_loading.resolve_model(model)
    if described.foreign_card:
        logger.warning("%s is the card of another model than this file, and is not shown", described.foreign_card)
    if as_json:
        standard_output.record(described.record())
    elif described.card is not None:
        standard_output.markdown(described.card)
    else:
        standard_output.tables([_table(described)])


@dataclass(frozen=True)
class ModelInfo:
    """What is known of one model.

    Attributes:
        model: its file; None if only its card is here, as in a fresh clone.
        card: the text of its model card without the metadata; None if there is no card of this model.
        foreign_card: the path of the card beside the file, if that card belongs to another model.
        novelty: the novelty score of the model, if it has one.
    """

    model: SavedModel | None
    card: str | None
    foreign_card: Path | None = None
    novelty: Novelty | None = None

    def record(self) -> dict[str, Any]:
        """The values for JSON."""
        record = {} if self.model is None else self.model.record()
        threshold, images = (self.novelty.threshold, len(self.novelty.train_features)) if self.novelty else (None, None)
        return record | {"strangeness_threshold": threshold, "learned": images, "card": self.card}


def read_info(name: str | None) -> ModelInfo:
    """Read the card and the facts of a model.

    Args:
        name: as for `model_loading.choose_model`.

    Raises:
        UserError: there is neither a model nor a card of that name; or the file is not a model.
    """
    try:
        path = model_loading.find_model(name)
        facts = model_file.read_facts(path)
    except UserError:
        card = model_loading.models_folder() / f"{name}.md"
        if name is None or Path(name).name != name or not card.is_file():
            raise
        return ModelInfo(None, _split_card(card)[1])
    model, card, novelty = models.read_model(path), path.with_suffix(".md"), model_file.read_novelty(path)
    if not card.is_file():
        return ModelInfo(model, None, None, novelty)
    metadata, text = _split_card(card)
    is_own = _belongs_to(metadata, facts)
    return ModelInfo(model, text if is_own else None, None if is_own else card, novelty)


def _table(described: ModelInfo) -> Table:
    table = Table(box=box.SIMPLE, pad_edge=False, show_header=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in _file_facts(described):
        table.add_row(name, Text(printable(value)))
    return table


def _file_facts(described: ModelInfo) -> list[tuple[str, str]]:
    model = described.model
    if model is None or model.facts is None:
        return []
    facts, size = model.facts, model.facts.image_size
    unlike = "not measured by this model"
    if novelty := described.novelty:
        images = f"{len(novelty.train_features):,} training images"
        unlike = f"above a strangeness of {novelty.threshold:.3f}, measured against {images}"
    rows = [
        ("file", f"{model.path}, {model.size_bytes / 1e6:.1f} MB"),
        ("name", facts.name),
        ("caution", facts.caution() or ""),
        ("classes", f"{len(facts.classes)}: {', '.join(facts.classes)}"),
        ("data", facts.dataset),
        ("backbone", f"{facts.backbone}, weights: {facts.weights}"),
        ("input", f"photographs resized to {size} x {size} pixels, in batches of {facts.batch_size}"),
        ("precision", facts.precision),
        ("temperature", f"{facts.temperature:g}"),
        ("unlike anything learned", unlike),
    ]
    return [(name, value) for name, value in rows if value]


def _split_card(card: Path) -> tuple[Mapping[str, Any] | None, str]:
    """The metadata of a model card (None if missing or damaged), and the text after it."""
    with card.open(encoding="utf-8", errors="replace") as file:
        text = file.read(_MAX_CARD_CHARACTERS)
    if not text.startswith(_FENCE) or text.count(_FENCE) < 2:
        return None, text
    import yaml  # noqa: PLC0415 - which the image of `serve` does not have

    _, block, body = text.split(_FENCE, 2)
    try:
        metadata = yaml.safe_load(block)
    except (yaml.YAMLError, RecursionError, ValueError):  # ValueError: an invalid date
        return None, body.lstrip()
    return metadata if isinstance(metadata, Mapping) else None, body.lstrip()


def _belongs_to(metadata: Mapping[str, Any] | None, facts: Facts) -> bool:
    """Whether a card can be that of a model: git has the cards but not the models, so they may differ.

    A card without metadata is accepted.
    """
    if metadata is None:
        return True
    try:
        dataset = metadata["model-index"][0]["results"][0]["dataset"]["name"]
        return bool(dataset == facts.dataset and facts.backbone in metadata.get("tags", ()))
    except (KeyError, IndexError, TypeError):
        return True
