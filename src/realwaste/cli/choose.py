"""`realwaste choose`: the options; choose_run.py does what they say."""

from pathlib import Path
from typing import Annotated

import typer

from realwaste.cli.options import AsJson

Photos = Annotated[
    list[str],
    typer.Argument(
        metavar="FOLDER", help="Folders of unlabelled photos (searched at every depth), files, or quoted patterns."
    ),
]
Models = Annotated[
    list[str] | None,
    typer.Option(
        "--model",
        "-m",
        metavar="NAME|FILE",
        help="A name, as irv2 for models/irv2.keras, or the path of a .keras file; may be repeated: the models' "
        "probabilities are then averaged. Without it: the model with the highest validation accuracy in "
        "metrics/compare.json.",
    ),
]
Csv = Annotated[
    Path | None, typer.Option("--csv", metavar="FILE", help="Also write a row per photo, with an empty label column.")
]
Sheet = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE.jpg|png",
        help="Also write a contact sheet: thumbnails with file names and the two most probable classes.",
    ),
]


def choose(
    folder: Photos,
    *,
    count: Annotated[int, typer.Option("--count", "-n", min=1, help="How many photos to choose.")] = 50,
    model: Models = None,
    as_json: AsJson = False,
    csv: Csv = None,
    sheet: Sheet = None,
) -> None:
    """Choose the photos that are most worth labelling.

    They are photos of which the model is least sure, spread so that they do not all show the same. Uncertainty is 1
    if the two most probable classes are equally probable, and 0 if one class is certain. Files that cannot be read are
    named, and the exit status is then 1.

    Example: `realwaste choose unlabelled/ --count 50 --sheet look.jpg`
    """
    from realwaste.cli import choose_run  # noqa: PLC0415 - OpenCV, which --help does not need

    choose_run.run(folder, count, [*dict.fromkeys(model or ())] or [None], as_json=as_json, csv_file=csv, sheet=sheet)
