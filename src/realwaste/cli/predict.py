"""`realwaste predict`: the options; predict_run.py does what they say."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from realwaste.cli.options import AsJson, Model
from realwaste.core.errors import UserError

Images = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="IMAGE...",
        help="Files, folders (searched at every depth), quoted patterns such as 'photos/**/*.jpg', http(s) URLs of "
        "photos, or - for a photo on standard input.",
    ),
]
AllModels = Annotated[
    bool,
    typer.Option(
        "--all-models",
        help="Show the predictions of all models side by side: those in models/, or in the folder that "
        "REALWASTE_MODEL names.",
    ),
]
MinConfidence = Annotated[
    float | None,
    typer.Option(
        min=0,
        max=1,
        help='Say "not sure" if the largest probability is lower (try 0.8), or if the photo is unlike anything the '
        "model has learned.",
    ),
]
Csv = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Write a row per photo to this CSV file instead of a table. Until all rows are written, it is called "
        "FILE.part.",
    ),
]
SortInto = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Also copy each photo to DIR/CLASS/; or to 'DIR/not sure/' if its probability is below --min-confidence "
        "or it is unlike anything learned. DIR must be outside of the input folders. Nothing is moved or overwritten.",
    ),
]
Overlay = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Also write NAME_CLASS.png to this folder for each photo: a Grad-CAM heat map over the photo, which shows "
        "where the model looked. DIR must be outside of the input folders.",
    ),
]
Watch = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Predict each new photo that arrives in this folder, until Ctrl-C. Photos that are there at the start are "
        "skipped, unless they are named too. --csv appends rows to its file, --json writes a line per photo.",
    ),
]
Output = Annotated[
    str | None,
    typer.Option(
        metavar="DEST",
        help="For large sets: write Parquet files with a row per photo to this folder or URL (s3://bucket/prefix). "
        "IMAGE is then one folder, URL, tar file or Parquet file. A stopped run continues (docs/scale.md).",
        show_default=False,
    ),
]
Engine = Annotated[
    Literal["local", "ray"],
    typer.Option(help="With --output: on this machine, or on the Ray cluster at RAY_ADDRESS."),
]


def predict(
    images: Images = None,
    *,
    model: Model = None,
    all_models: AllModels = False,
    top: Annotated[int, typer.Option(min=1, help="How many classes to show for each photo.")] = 3,
    min_confidence: MinConfidence = None,
    as_json: AsJson = False,
    csv: Csv = None,
    sort_into: SortInto = None,
    overlay: Overlay = None,
    watch: Watch = None,
    output: Output = None,
    engine: Engine = "local",
) -> None:
    """Predict the class of each photo.

    Predictions go to standard output, log lines to standard error; the last one counts the photos of each class. A
    photo that cannot be read has an error message instead of a prediction; the others are predicted, and the exit
    status is 1.

    Example: `realwaste predict photos/ --csv answers.csv --min-confidence 0.8`
    """
    if output is not None or engine != "local":
        if output is None or all_models or as_json or csv or sort_into or overlay or watch:
            rule = "--engine ray must be used with --output, and --output without the other outputs."
            raise UserError(rule, "Leave out the other option, or name a folder with --output.")
        from realwaste.cli import predict_parts  # noqa: PLC0415 - pyarrow and fsspec, an extra

        predict_parts.run(images or [], output, engine, model, min_confidence)
        return
    if not images and watch is None:
        raise typer.BadParameter("name a photo or a folder of photos.", param_hint="IMAGE")
    from realwaste.cli import predict_run  # noqa: PLC0415 - OpenCV, which --help does not need

    run = predict_run.PredictRun(model, all_models, top, min_confidence, as_json, csv, sort_into, overlay, watch)
    run.run(images or [])
