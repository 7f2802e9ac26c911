"""Options that several commands have."""

from typing import Annotated

import typer


def names() -> list[str]:
    """For the shell, which completes them."""
    from realwaste.cli import model_resolution  # noqa: PLC0415 - which --help need not wait for
    from realwaste.core.errors import UserError  # noqa: PLC0415

    try:
        return [path.stem for path in model_resolution.present()]
    except UserError:
        return []


Model = Annotated[
    str | None,
    typer.Option(
        "--model",
        "-m",
        metavar="NAME|FILE",
        help="A name, as irv2 for models/irv2.keras, or the path of a .keras file of this pipeline. "
        "Without it: the file, or the best model of the folder, that the variable REALWASTE_MODEL names; else the "
        "model of the highest validation accuracy in metrics/compare.json.",
        show_default=False,
        autocompletion=names,
    ),
]
AsJson = Annotated[
    bool, typer.Option("--json", help="Write one JSON object to standard output, in place of the table.")
]
