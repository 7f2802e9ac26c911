"""`realwaste info`."""

from typing import Annotated

import typer

from realwaste.cli.options import AsJson, names
from realwaste.core import log


def info(
    model: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME|FILE",
            help="As of --model elsewhere; without it, the model that answers where none is named.",
            show_default=False,
            autocompletion=names,
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show a model's card: what it learned from, how well it did in its test, and its limits.

    Without a card beside its file, or with that of another model, show what the file itself says.

    Example: `realwaste info irv2`
    """
    from realwaste.cli import model_info, model_loading, standard_output  # noqa: PLC0415 - which --help need not wait for

    told = model_info.of(model)
    if told.entry is None:
        log.logger.warning("this is the card of %s, whose file is not here: `dvc pull` fetches it", model)
    else:
        model_loading.chosen(model)
    if told.stale:
        log.logger.warning("%s is the card of another model than this file, and is not shown", told.stale)
    if as_json:
        standard_output.record(told.record())
    elif told.card is not None:
        standard_output.markdown(told.card)
    else:
        standard_output.tables([model_info.table(told)])
