"""`realwaste evaluate`."""

from typing import Annotated

import typer

from realwaste.classifier import model_file
from realwaste.cli.options import AsJson, Model
from realwaste.commands import model_choice, opening, standard_output
from realwaste.core import log
from realwaste.sources.file_names import printable


def evaluate(
    folder: Annotated[
        str,
        typer.Argument(
            help="A folder, a zip, or a zip's URL: one folder of images a class; or a CSV of path and label.",
            show_default=False,
        ),
    ],
    model: Model = None,
    as_json: AsJson = False,
) -> None:
    """Say how right a model is on labelled photographs that it never saw.

    Folders have the names of its classes, in any case. What it says of other folders is listed apart. A file that is
    no image is left out and named, and the exit status is then 1.

    Example: `realwaste evaluate labelled/ --model irv2`
    """
    from realwaste.commands import evaluation, evaluation_table  # noqa: PLC0415 - as above
    from realwaste.evaluation import external_sets  # noqa: PLC0415

    with external_sets.opened(folder, model_file.facts_of(model_choice.find(model)).classes) as one:
        asked = opening.session_of(opening.chosen(model))
        told = evaluation.measured(asked, one)
    if as_json:
        standard_output.record(evaluation.record(asked.facts, one, told))
    else:
        standard_output.tables(evaluation_table.tables(one.source, told))
    if len(one.rejected):
        log.logger.error("no images, and left out: %s", printable(one.complaint))
        raise typer.Exit(1)
