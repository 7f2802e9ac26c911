"""`realwaste train`: a model from a folder of photographs; train_run.py does what the options say."""

from pathlib import Path
from typing import Annotated

import typer

from realwaste.models import registry

Photos = Annotated[
    str,
    typer.Argument(
        metavar="PHOTOS",
        help="A folder with one folder of photos per class, or with train/ and test/ folders of classes; a zip, or a "
        "zip's URL; or a CSV file with the columns path and label.",
    ),
]
Name = Annotated[str | None, typer.Option(help="The name of the model. Without it: the name of the folder of photos.")]
Output = Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="The folder to write the model to.")]
Backbone = Annotated[
    str,
    typer.Option(
        metavar="NAME|FILE",
        help="The pretrained network: EfficientNetLite0 to 2, whose weights are pip packages; a name in "
        "keras.applications, whose weights are downloaded; or the path of a .keras feature extractor.",
    ),
]
ImageSize = Annotated[int, typer.Option(min=32, max=1024, help="Pixels a side at which the backbone sees a photo.")]
FineTune = Annotated[
    bool,
    typer.Option(
        "--fine-tune",
        help="Also train the last layers of the backbone: takes much longer, and pays from about a thousand photos.",
    ),
]
Test = Annotated[
    str | None,
    typer.Option(
        metavar="FOLDER",
        help="Labelled photos from elsewhere, such as another camera: the finished model is tested on them too, once.",
    ),
]


def train(
    photos: Photos,
    *,
    name: Name = None,
    output: Output = registry.FOLDER,
    backbone: Backbone = "EfficientNetLite0",
    image_size: ImageSize = 224,
    fine_tune: FineTune = False,
    test: Test = None,
    seed: Annotated[int, typer.Option(min=0, max=2**31 - 1, help="Of the split and of the initial weights.")] = 42,
) -> None:
    """Train a model on a folder of photos, and test it on a fifth of them.

    Writes NAME.keras, which the other commands use; NAME_splits.csv, the part (train, val, test) of each photo; and
    NAME_metrics.json. A run that was stopped continues where it was. Needs the extra `train`, and no checkout.

    Example: `realwaste train photos/`
    """
    # These import OpenCV and pandas, which --help does not need.
    from realwaste.cli import train_run  # noqa: PLC0415

    train_run.TrainRun(photos, name, output, backbone, image_size, fine_tune, test, seed).run()
