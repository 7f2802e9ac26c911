"""`realwaste compare`."""

from typing import Annotated

import typer

from realwaste.cli import model_loading, standard_output
from realwaste.cli.options import AsJson, complete_model_name
from realwaste.core import log
from realwaste.core.file_names import printable
from realwaste.models import model_file

_Model = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="A name, as irv2 for models/irv2.keras, or the path of a .keras file.",
        show_default=False,
        autocompletion=complete_model_name,
    ),
]


def compare(
    first: _Model,
    second: _Model,
    folder: Annotated[
        str,
        typer.Argument(help="A folder, a zip, or a zip's URL: one folder of images a class.", show_default=False),
    ],
    as_json: AsJson = False,
) -> None:
    """Say which of two models is righter on labelled photographs that neither saw, if that can be told.

    Both answer the same photographs, of the classes that both know. A model is called better where two exact tests
    agree at 0.05: McNemar's, and a permutation test of groups of like photographs. A file that is no image is left out
    and named, and the exit status is then 1.

    Example: `realwaste compare cnn irv2 labelled/`
    """
    from realwaste.cli import compare_models, compare_table, evaluate_model  # noqa: PLC0415 - pandas, SciPy

    files = [model_loading.resolve_model(first), model_loading.resolve_model(second)]
    named = [first, second]
    with compare_models.opened(folder, *(model_file.facts_of(file) for file in files)) as pair:
        raw = [evaluate_model.answers(model_loading.open_session(file), pair.photographs) for file in files]
        told = compare_models.compared(pair, raw)
        if as_json:
            standard_output.record(compare_models.record(pair, named, told))
        else:
            standard_output.tables(compare_table.tables(pair, named, told))
        for line in compare_table.left_out(pair, named):
            log.logger.warning("%s", line)
        rejected = pair.photographs
    if len(rejected.rejected):
        log.logger.error("no images, and left out: %s", printable(rejected.complaint))
        raise typer.Exit(1)
