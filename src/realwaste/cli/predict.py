"""`realwaste predict`."""

from pathlib import Path
from typing import Annotated

import typer

from realwaste.cli.options import AsJson, Model
from realwaste.core import log
from realwaste.core.errors import UserError

Images = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="IMAGE...",
        help="Files, folders (searched at every depth), quoted patterns such as 'photos/**/*.jpg', http(s) addresses "
        "of photos, or - for a photo on standard input.",
        show_default=False,
    ),
]
AllModels = Annotated[
    bool,
    typer.Option(
        "--all-models",
        help="Ask every model in models/, or in the folder that REALWASTE_MODEL names, and set their answers side by "
        "side.",
    ),
]
MinConfidence = Annotated[
    float | None,
    typer.Option(
        min=0,
        max=1,
        help='The probability below which the answer is "not sure", 0.8 say; so it is then for what is unlike anything '
        "that the model has learned.",
        show_default=False,
    ),
]
Csv = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Also write a row a photo to this file, for a spreadsheet. As long as it is not whole it is FILE.part.",
        show_default=False,
    ),
]
SortInto = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Also copy each photo to a folder of its class in this one, which must be outside of those looked at; to "
        "'not sure' what is below --min-confidence, or unlike anything learned. Nothing is moved or overwritten.",
        show_default=False,
    ),
]
Overlay = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Also write `NAME_CLASS.png` to this folder, which must be outside of those looked at: each photo, "
        "coloured where the model looked (Grad-CAM).",
        show_default=False,
    ),
]
Watch = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Go on with each new photo that comes into this folder, once it is whole, until Ctrl-C. Photos there are "
        "looked at if they are given too. --csv adds to its file, --json writes a line a photo.",
        show_default=False,
    ),
]


def predict(
    images: Images = None,
    *,
    model: Model = None,
    all_models: AllModels = False,
    top: Annotated[int, typer.Option(min=1, help="How many classes to show for each image.")] = 3,
    min_confidence: MinConfidence = None,
    as_json: AsJson = False,
    csv: Csv = None,
    sort_into: SortInto = None,
    overlay: Overlay = None,
    watch: Watch = None,
) -> None:
    """Say what is in photographs.

    The answers go to standard output, all else to standard error. An image that cannot be read has its reason in
    place of an answer; the others are answered, and the exit status is 1.

    Example: `realwaste predict photos/ --csv answers.csv --min-confidence 0.8`
    """
    if not images and watch is None:
        raise typer.BadParameter("name a photo or a folder of them.", param_hint="IMAGE")
    if all_models and (model or overlay or sort_into):
        rule = "--all-models asks every model: there is no one answer for --model, --overlay and --sort-into."
        raise UserError(rule, "Leave it out, or them.")
    # OpenCV, which --help need not wait for.
    from realwaste.cli import predict_inputs, predict_request  # noqa: PLC0415

    asked = predict_request.Request(model, all_models, top, min_confidence, as_json, csv, sort_into, overlay, watch)
    with predict_inputs.opened(images or [], needed=watch is None) as given:
        asked.check(given)
        failed, seen = asked.answer(given)
    if failed and watch is None:
        log.logger.error(
            "%d of %d images have no answer, copy or overlay: each has its reason in its row", failed, seen
        )
        raise typer.Exit(1)
