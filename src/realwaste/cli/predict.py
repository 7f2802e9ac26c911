"""`realwaste predict`."""

from pathlib import Path
from typing import Annotated

import typer
from rich.progress import track

from realwaste.cli.options import AsJson, Model
from realwaste.commands import opening, standard_output
from realwaste.core import log

_PROGRESS_FROM = 8  # images

Images = Annotated[
    list[str],
    typer.Argument(
        metavar="IMAGE",
        help="Files, folders (searched at every depth) or quoted patterns such as 'photos/**/*.jpg'.",
        show_default=False,
    ),
]
Overlay = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Also write <name>_<class>.png to this folder, which must be outside of those looked at: each photo, "
        "coloured where the model looked (Grad-CAM).",
        show_default=False,
    ),
]


def predict(
    images: Images,
    model: Model = None,
    top: Annotated[int, typer.Option(min=1, help="How many classes to show for each image.")] = 3,
    as_json: AsJson = False,
    overlay: Overlay = None,
) -> None:
    """Say what is in photographs.

    The answers go to standard output, all else to standard error. An image that cannot be read has its reason in
    place of an answer; the others are answered, and the exit status is 1.
    """
    # OpenCV, which --help need not wait for.
    from realwaste.commands import image_paths, overlay_files, prediction, prediction_table  # noqa: PLC0415

    paths = image_paths.expand(images)
    if overlay:
        overlay_files.check(overlay, images, paths)
    file = opening.chosen(model)
    asked = opening.session_of(file, at_most=len(paths))
    coming = prediction.answers(asked, paths)
    if overlay:
        coming = overlay_files.with_overlays(coming, overlay, opening.loaded(file))
    shown = log.console.is_terminal and len(paths) >= _PROGRESS_FROM
    bar = track(coming, "looking", total=len(paths), console=log.console, disable=not shown, transient=True)
    answered = list(bar)
    if as_json:
        standard_output.record(prediction.record(asked, answered, top))
    else:
        standard_output.tables([prediction_table.table(answered, top)])
    if failed := sum(answer.error is not None for answer in answered):
        text = "%d of %d images have no answer: each has its reason in the place of one"
        log.logger.error(text, failed, len(answered))
        raise typer.Exit(1)
