"""`realwaste export`."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from realwaste.cli import model_loading, output_options
from realwaste.cli.options import Model
from realwaste.core import log
from realwaste.models import export_target


class Format(StrEnum):
    """What `realwaste export` writes; as its module names them, which need not be imported for --help."""

    onnx = "onnx"
    litert = "litert"
    saved_model = "saved_model"


def export(
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

    Example: `realwaste export --model cnn --format onnx`
    """
    file = model_loading.resolve_model(model)
    target = file.with_name(export_target.default_target(file.stem, to.value).name) if output is None else output
    export_target.check(to.value, target)
    output_options.check_folder("--output", target.resolve().parent)
    classifier = model_loading.load_classifier(file)
    from realwaste.models import export as exporting  # noqa: PLC0415 - TensorFlow, and optional packages

    log.logger.info("%s", exporting.export(classifier, to.value, target))
