"""`realwaste evaluate`: how accurate a model is on an external test set."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from realwaste.cli import model_loading, progress_bar, standard_output
from realwaste.cli.options import AsJson, Model
from realwaste.core.file_names import printable, to_unicode
from realwaste.core.log import logger
from realwaste.models import model_file
from realwaste.models.model_file import ModelMetadata

if TYPE_CHECKING:
    from realwaste.evaluation.external_sets import ExternalSet
    from realwaste.models.probabilities import Probabilities
    from realwaste.models.session import Session


LabelledFolder = Annotated[
    str,
    typer.Argument(
        help="A folder, a zip, or a zip's URL, with one folder of images per class; or a CSV file with the columns "
        "path and label."
    ),
]
Csv = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Also write a row per photograph to this CSV file: label, prediction, and whether it is correct.",
    ),
]
Mistakes = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Also copy each wrongly predicted photograph to DIR/LABEL/PREDICTION/. DIR must be outside of the "
        "evaluated folder. Nothing is moved or overwritten.",
    ),
]


def evaluate(
    folder: LabelledFolder, model: Model = None, as_json: AsJson = False, csv: Csv = None, mistakes: Mistakes = None
) -> None:
    """Measure a model's accuracy on labelled photographs that it was not trained on.

    Folders are matched to the model's classes by name, whatever the case. Predictions for other folders are reported
    in a table of their own. Photographs that the model was trained or validated on are left out and counted. Files that
    are not images are left out and named, and the exit status is then 1.

    Example: `realwaste evaluate labelled/ --model irv2`
    """
    # These import pandas and OpenCV, which --help does not need.
    from realwaste.cli import evaluate_outputs  # noqa: PLC0415
    from realwaste.evaluation import differences, external_sets  # noqa: PLC0415

    file = model_loading.resolve_model(model)
    with external_sets.open_external_set(folder, model_file.read_metadata(file).classes) as external_set:
        test_set = external_sets.leave_out_training(external_set, [model_file.read_photographs(file)])
        evaluate_outputs.check(test_set, folder, csv, mistakes)
        session = model_loading.open_session(file)
        raw = predict_set(session, test_set)
        metrics = external_sets.evaluate_predictions(test_set, session.metadata, raw)
        failed = evaluate_outputs.write(test_set, session.metadata, raw, csv, mistakes)
    if as_json:
        standard_output.print_json(_record(session.metadata, test_set, metrics))
    else:
        standard_output.print_tables(_tables(test_set.source, metrics))
    if "groups" not in metrics["accuracy_intervals"]:
        message = "%s (groups of similar photographs: %d); the intervals count single photographs"
        logger.info(message, differences.TOO_FEW_GROUPS, metrics["groups"])
    report_rejected(test_set)
    if failed:
        logger.error("%d mistakes could not be copied", failed)
        raise typer.Exit(1)


def predict_set(session: "Session", test_set: "ExternalSet") -> "Probabilities":
    """Uncalibrated probabilities of the images of a set, (images, classes); shows a progress bar on a terminal."""
    from realwaste.images.reader import prefetch_batches  # noqa: PLC0415 - OpenCV

    size, batch_size = session.metadata.image_size, session.metadata.batch_size
    batches = prefetch_batches(test_set.files, size, batch_size)
    count = -(-len(test_set.files) // batch_size)
    tracked = progress_bar.track(batches, count, f"predicting, {batch_size} images at a time")
    return session.predict_batches(tracked)[0]


def rejected_records(test_set: "ExternalSet") -> list[dict[str, str]]:
    """Path and reason of each file that is not an image, for JSON."""
    return [{"path": to_unicode(row.path), "reason": to_unicode(row.reason)} for row in test_set.rejected.itertuples()]


def report_rejected(test_set: "ExternalSet") -> None:
    """Log the files that are not images; with exit status 1, if there are any."""
    if len(test_set.rejected):
        logger.error("left out, since they are not images: %s", printable(test_set.rejection_message))
        raise typer.Exit(1)


def _record(metadata: ModelMetadata, test_set: "ExternalSet", metrics: dict[str, Any]) -> dict[str, Any]:
    """The values for JSON."""
    about_set = {"name": test_set.name} | test_set.summary
    about_set |= {"rejected": rejected_records(test_set), "matched": dict(test_set.class_of_folder)}
    return {"model": asdict(metadata), "caution": metadata.caution(), "set": about_set} | metrics


def _tables(source: str, metrics: Mapping[str, Any]) -> Iterator[Table]:
    """The tables of the metrics of external_sets.evaluate_predictions."""
    yield _accuracy_table(source, metrics)
    yield _decision_table(metrics["by_min_confidence"])
    yield _class_table(metrics["per_class"])
    yield _confusion_table(metrics["confusion"])
    if metrics["unknown"]["images"]:
        yield _unknown_table(metrics["unknown"]["folders"])


def _accuracy_table(source: str, metrics: Mapping[str, Any]) -> Table:
    headings = ("images", "accuracy", "95 % interval", "mean confidence")
    table = standard_output.empty_table("classes of the model, in", *headings)
    interval = f"{metrics['accuracy_low']:.3f} to {metrics['accuracy_high']:.3f}"
    accuracy, confidence = (f"{metrics[key]:.3f}" for key in ("accuracy", "mean_confidence"))
    table.add_row(Text(printable(source)), str(metrics["images"]), accuracy, interval, confidence)
    return table


def _decision_table(decisions: Sequence[Mapping[str, float]]) -> Table:
    """How sure must it be: how many photos get a class at each `--min-confidence`, and how many are correct."""
    table = standard_output.empty_table("predict --min-confidence", "predicted", "correct", "accuracy")
    table.caption = "By probability alone: predict is also not sure of photos unlike anything the model has learned."
    for row in decisions:
        accuracy = f"{row['right'] / row['decided']:.1%}" if row["decided"] else "–"
        table.add_row(f"{row['min_confidence']:g}", f"{row['decided']}", f"{row['right']}", accuracy)
    return table


def _class_table(per_class: Mapping[str, Mapping[str, Any]]) -> Table:
    table = standard_output.empty_table("class", "images", "precision", "recall", "95 % interval", "F1")
    for name, row in per_class.items():
        interval = f"{row['recall_low']:.3f} to {row['recall_high']:.3f}"
        precision, recall, f1 = (f"{row[key]:.3f}" for key in ("precision", "recall", "f1"))
        table.add_row(Text(printable(name)), str(row["support"]), precision, recall, interval, f1)
    return table


def _confusion_table(confusion: Mapping[str, Mapping[str, int]]) -> Table:
    table = standard_output.empty_table("class, and predicted as", *next(iter(confusion.values())))
    for name, counts in confusion.items():
        cells = (Text(str(count), "bold" if other == name else "dim") for other, count in counts.items())
        table.add_row(Text(printable(name)), *cells)
    return table


def _unknown_table(folders: Mapping[str, Mapping[str, Any]]) -> Table:
    table = standard_output.empty_table("not a class of the model", "images", "mean confidence")
    table.add_column("predicted as", overflow="fold")
    for name, row in folders.items():
        predicted = sorted(((count, other) for other, count in row["said"].items() if count), reverse=True)
        words = ", ".join(f"{printable(other)} {count}" for count, other in predicted)
        table.add_row(Text(printable(name)), str(row["images"]), f"{row['mean_confidence']:.3f}", Text(words))
    return table
