"""`realwaste evaluate`."""

from typing import Annotated

import typer

from realwaste.cli import model_loading, standard_output
from realwaste.cli.options import AsJson, Model
from realwaste.core import log
from realwaste.core.file_names import printable
from realwaste.models import model_file


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
    from realwaste.cli import evaluate_model, evaluate_table  # noqa: PLC0415 - as above
    from realwaste.evaluation import external_sets  # noqa: PLC0415

    with external_sets.open_external_set(folder, model_file.facts_of(model_loading.find_model(model)).classes) as one:
        asked = model_loading.open_session(model_loading.resolve_model(model))
        told = evaluate_model.measured(asked, one)
    if as_json:
        standard_output.record(evaluate_model.record(asked.facts, one, told))
    else:
        standard_output.tables(evaluate_table.tables(one.source, told))
    if len(one.rejected):
        log.logger.error("no images, and left out: %s", printable(one.complaint))
        raise typer.Exit(1)
