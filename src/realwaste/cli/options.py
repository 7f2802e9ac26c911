"""Options that several commands have."""

from typing import Annotated

import typer

Model = Annotated[
    str | None,
    typer.Option(
        "--model",
        "-m",
        metavar="NAME|FILE",
        help="A name, as irv2 for models/irv2.keras, or the path of a .keras file of this pipeline. "
        "Without it: the model of the highest validation accuracy in metrics/compare.json.",
        show_default=False,
    ),
]
AsJson = Annotated[
    bool, typer.Option("--json", help="Write one JSON object to standard output, in place of the table.")
]
