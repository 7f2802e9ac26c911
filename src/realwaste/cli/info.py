"""`realwaste info`: the card of one model, or the metadata in its file."""

from collections.abc import Mapping
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
from realwaste.models.model_file import ModelMetadata
from realwaste.models.novelty import Novelty

_FENCE = "---\n"
_MAX_CARD_CHARACTERS = 1 << 20


def info(
    model: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME|FILE",
            help="A name or a path, as for --model of other commands. Without it: the model that they use by default.",
            autocompletion=complete_model_name,
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show a model's card: what it was trained on, its test results, and its limits.

    If there is no card beside the model file, or the card belongs to another model, show the metadata in the file.

    Example: `realwaste info irv2`
    """
    saved, novelty, card = _read(model)
    if as_json:
        threshold, images = (novelty.threshold, len(novelty.train_features)) if novelty else (None, None)
        record = saved.record() if saved else {}
        standard_output.print_json(record | {"strangeness_threshold": threshold, "learned": images, "card": card})
    elif card is not None:
        standard_output.print_markdown(card)
    elif saved and saved.metadata:
        table = Table(box=box.SIMPLE, pad_edge=False, show_header=False)
        table.add_column(style="bold")
        table.add_column(overflow="fold")
        for name, value in _file_facts(saved, saved.metadata, novelty).items():
            if value:
                table.add_row(name, Text(printable(value)))
        standard_output.print_tables([table])


def _read(name: str | None) -> tuple[SavedModel | None, Novelty | None, str | None]:
    """The model, its novelty score, and the text of its card; the log says which model it is.

    There is no model if only its card is here, as in a fresh clone; no text if the model has no card of its own.
    """
    try:
        path = model_loading.resolve_model(name)
    except UserError:
        card = model_loading.models_folder() / f"{name}.md"
        if name is None or Path(name).name != name or not card.is_file():
            raise
        logger.warning("this is the card of %s, whose file is not here: `dvc repro` makes it", name)
        return None, None, _split_card(card)[1]
    saved, novelty, card = models.read_model(path), model_file.read_novelty(path), path.with_suffix(".md")
    if not card.is_file():
        return saved, novelty, None
    card_metadata, text = _split_card(card)
    if saved.metadata and not _belongs_to(card_metadata, saved.metadata):
        logger.warning("%s is the card of another model than this file, and is not shown", card)
        return saved, novelty, None
    return saved, novelty, text


def _file_facts(saved: SavedModel, metadata: ModelMetadata, novelty: Novelty | None) -> dict[str, str | None]:
    size, unlike = metadata.image_size, "not measured by this model"
    if novelty:
        images = f"{len(novelty.train_features):,} training images"
        unlike = f"above a strangeness of {novelty.threshold:.3f}, measured against {images}"
    return {
        "file": f"{saved.path}, {saved.size_bytes / 1e6:.1f} MB",
        "name": metadata.name,
        "caution": metadata.caution(),
        "classes": f"{len(metadata.classes)}: {', '.join(metadata.classes)}",
        "data": metadata.dataset,
        "backbone": f"{metadata.backbone}, weights: {metadata.weights}",
        "input": f"photographs resized to {size} x {size} pixels, in batches of {metadata.batch_size}",
        "precision": metadata.precision,
        "temperature": f"{metadata.temperature:g}",
        "unlike anything learned": unlike,
    }


def _split_card(card: Path) -> tuple[Mapping[str, Any], str]:
    """The metadata of a model card (empty if missing or damaged), and the text after it."""
    with card.open(encoding="utf-8", errors="replace") as file:
        text = file.read(_MAX_CARD_CHARACTERS)
    if not text.startswith(_FENCE) or text.count(_FENCE) < 2:
        return {}, text
    import yaml  # noqa: PLC0415 - which the image of `serve` does not have

    _, block, body = text.split(_FENCE, 2)
    try:
        card_metadata = yaml.safe_load(block)
    except (yaml.YAMLError, RecursionError, ValueError):  # ValueError: an invalid date
        card_metadata = None
    return card_metadata if isinstance(card_metadata, Mapping) else {}, body.lstrip()


def _belongs_to(card_metadata: Mapping[str, Any], metadata: ModelMetadata) -> bool:
    """Whether a card can be that of a model: git has the cards but not the models. One without metadata is accepted."""
    try:
        dataset = card_metadata["model-index"][0]["results"][0]["dataset"]["name"]
        return bool(dataset == metadata.dataset and metadata.backbone in card_metadata.get("tags", ()))
    except (KeyError, IndexError, TypeError):
        return True
