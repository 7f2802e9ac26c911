"""`realwaste export`: a saved model for programs without Keras."""

from pathlib import Path
from typing import Annotated

import typer

from realwaste.cli import model_loading, output_options
from realwaste.cli.options import Model
from realwaste.core.log import logger
from realwaste.models import export_target


def export(
    to: Annotated[export_target.Format, typer.Option("--format", "-f", help="The format to write.")],
    model: Model = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="PATH",
            help="The file or folder to write. Without it: beside the model, as models/cnn.onnx.",
        ),
    ] = None,
    raw: Annotated[
        bool, typer.Option("--raw", help="Leave out the temperature: export probabilities that are not calibrated.")
    ] = False,
) -> None:
    """Convert a model for programs without Keras, and check the result with the format's own runtime.

    The exported model takes RGB images with values 0 to 255, (batch, size, size, 3), and returns calibrated
    probabilities. The file contains the class names. Needs the extra `export`.

    Example: `realwaste export --model cnn --format onnx`
    """
    file = model_loading.resolve_model(model)
    target = file.with_name(export_target.default_target(file.stem, to).name) if output is None else output
    export_target.check(to, target)
    output_options.check_folder("--output", target.resolve().parent)
    classifier = model_loading.load_classifier(file)
    from realwaste.models import export as exporting  # noqa: PLC0415 - TensorFlow, and optional packages

    logger.info("%s", exporting.export(classifier, to, target, raw=raw))
