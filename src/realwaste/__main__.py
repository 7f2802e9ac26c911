"""`realwaste predict`, `evaluate`, `serve`, `export`: a trained model in use. A mistake is two lines and status 1."""

import errno
import logging
import sys
from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import track
from typer.core import TyperGroup

from realwaste.classifier import model_file
from realwaste.commands import model_choice, opening, standard_output
from realwaste.core import log, start_up
from realwaste.core.errors import UserError
from realwaste.sources.file_names import printable

_PROGRESS_FROM = 8  # images
_SERVE_NEEDS = ("fastapi", "python_multipart", "uvicorn")


class _Commands(TyperGroup):
    """What every command does with a mistake, and with a disk that is full, --help's included."""

    def main(self, *arguments: Any, **named: Any) -> Any:
        try:
            return super().main(*arguments, **named)
        except (UserError, OSError) as error:
            log.setup()
            log.logger.error("%s", error if isinstance(error, UserError) else _refused(error))
            sys.exit(1)


def _refused(error: OSError) -> UserError:
    """What the machine has no room for or does not allow; a file that is written to without a name is an output."""
    place = "the output" if error.filename is None else printable(str(error.filename))
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return UserError(f"There must be room to write {place}.", "Free some, or send it elsewhere.", error.strerror)
    rule = f"It must be possible to read or write {place}."
    return UserError(rule, "Allow it, or name another place.", error.strerror or str(error))


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)
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


@app.callback()
def _commands() -> None:
    """Use the models that the pipeline trained: from the shell, or from a browser."""
    start_up.quiet()
    # It warns of retracing when pictures come one at a time and in batches.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    log.setup()


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


@app.command()
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


@app.command()
def evaluate(
    folder: Annotated[
        str,
        typer.Argument(help="A folder, a zip, or a zip's URL: one folder of images a class.", show_default=False),
    ],
    model: Model = None,
    as_json: AsJson = False,
) -> None:
    """Say how right a model is on labelled photographs that it never saw.

    Folders have the names of its classes, in any case. What it says of other folders is listed apart. A file that is
    no image is left out and named, and the exit status is then 1.
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


@app.command()
def serve(
    model: Model = None,
    host: Annotated[
        str, typer.Option(help="The address to serve at; one other than a loopback address opens it to the network.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Its port; 0 takes a free one.")] = 8000,
    max_mb: Annotated[float, typer.Option(min=0.001, help="The largest photo that is taken, in MB.")] = 20,
) -> None:
    """Open a page that says what is in a photo, and where the model looked.

    Beside the page: POST /predict (a photo's bytes, or a form with one file) answers in JSON, GET /model says what the
    model is, GET /health that it is there, and GET /openapi.json describes them. Needs the extra `serve`.
    """
    missing = [name for name in _SERVE_NEEDS if find_spec(name) is None]
    if missing:
        rule = f"`realwaste serve` needs packages that are not installed: {', '.join(missing)}."
        raise UserError(rule, "Run `make setup-dev`, or pip install '.[serve]', in the checkout.")
    from realwaste.serve import address  # noqa: PLC0415 - beside what follows

    with address.bound(host, port) as listening:
        from realwaste.serve import server  # noqa: PLC0415 - an optional extra

        file = opening.chosen(model)
        server.run(
            opening.session_of(file, at_most=1),
            lambda: opening.loaded(file),
            listening,
            host=host,
            limit=int(max_mb * 1e6),
        )


class Format(StrEnum):
    """What `realwaste export` writes; as its module names them, which need not be imported for --help."""

    onnx = "onnx"
    litert = "litert"
    saved_model = "saved_model"


@app.command("export")
def export_model(
    to: Annotated[Format, typer.Option("--format", "-f", help="What to write.", show_default=False)],
    model: Model = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="PATH",
            help="Where to; without it beside the model, as models/cnn.onnx.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Write a model for programs without Keras, checked by that format's own runtime.

    It takes RGB in 0..255, (batch, size, size, 3), and gives raw probabilities; classes and temperature travel inside.
    Needs the extra `export`.
    """
    classifier = opening.loaded(opening.chosen(model))
    from realwaste.commands import export  # noqa: PLC0415 - TensorFlow, and optional packages

    target = output or export.default_target(classifier.facts.name, to.value)
    log.logger.info("%s", export.export(classifier, to.value, target))


def main() -> None:
    """The entry point of the `realwaste` command."""
    app(prog_name="realwaste")


if __name__ == "__main__":
    main()
