"""Options that several commands have."""

from typing import Annotated

import typer

from realwaste.cli import model_loading
from realwaste.core.errors import UserError


def complete_model_name() -> list[str]:
    """The names of the available models, for the shell's completion."""
    try:
        return [path.stem for path in model_loading.available_models()]
    except UserError:
        return []


Model = Annotated[
    str | None,
    typer.Option(
        "--model",
        "-m",
        metavar="NAME|FILE",
        help="A name, as irv2 for models/irv2.keras, or the path of a .keras file of this pipeline. "
        "Without it: the file that the variable REALWASTE_MODEL names, or the best model in the folder that it names; "
        "else the model with the highest validation accuracy in metrics/compare.json.",
        autocompletion=complete_model_name,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Write one JSON object to standard output instead of a table.")]
