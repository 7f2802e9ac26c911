"""`realwaste choose`: the unlabelled photographs that are most worth labelling."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich import box
from rich.table import Table
from rich.text import Text

from realwaste.cli import model_loading, output_options, progress_bar, standard_output
from realwaste.cli.options import AsJson
from realwaste.core.file_names import printable
from realwaste.core.log import logger
from realwaste.models import registry

if TYPE_CHECKING:
    from realwaste.cli.choose_selection import Selection

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
    # These import OpenCV, which --help does not need.
    from realwaste.cli import choose_selection, image_paths  # noqa: PLC0415

    paths = image_paths.find_images(folder)
    _check_outputs(csv, sheet, count, folder, paths)
    names: list[str | None] = [*dict.fromkeys(model or ())] or [None]
    sessions = [model_loading.open_session(model_loading.resolve_model(name), max_images=len(paths)) for name in names]
    choose_selection.check_same_classes(sessions)
    by_model = []
    for session in sessions:
        predictions = choose_selection.predict_with_features(session, paths)
        name = registry.display_name(session.metadata.name, session.metadata.backbone)
        by_model.append(list(progress_bar.track(predictions, len(paths), f"predicting with {name}")))
    selection = choose_selection.select_photos(by_model, sessions[0].metadata.classes, count)
    try:
        missing = _write_files(csv, sheet, selection)
    finally:  # the selection is printed even if a file cannot be written
        if as_json:
            standard_output.print_json(choose_selection.selection_record(sessions, selection))
        else:
            standard_output.print_tables([_table(selection, len(sessions))])
    _report_failures(selection, count, missing)


def _check_outputs(csv: Path | None, sheet: Path | None, count: int, folder: list[str], paths: list[Path]) -> None:
    """Raise UserError if a file cannot be written, before a model is loaded."""
    from realwaste.cli import choose_selection, choose_sheet, predictions_csv  # noqa: PLC0415 - OpenCV

    if sheet:
        choose_sheet.check_sheet(sheet, min(count, len(paths)), folder, paths)
    if csv:
        predictions_csv.check_csv(csv, paths, folder, choose_selection.UNLABELLED_LIST)
    if csv and sheet:
        output_options.check_distinct("--csv", csv, "--sheet", sheet)


def _write_files(csv: Path | None, sheet: Path | None, selection: "Selection") -> list[tuple[Path, str]]:
    """Write the files; returns path and reason of each photo that is missing on the sheet."""
    from realwaste.cli import choose_selection, choose_sheet  # noqa: PLC0415 - OpenCV

    if csv:
        choose_selection.write_csv(csv, selection)
    return choose_sheet.write_sheet(sheet, selection.selected) if sheet else []


def _table(selection: "Selection", model_count: int) -> Table:
    """Rank, file, uncertainty, the two most probable classes, and how many models predict another class."""
    from realwaste.cli.choose_selection import SHOWN_CLASSES  # noqa: PLC0415 - OpenCV
    from realwaste.models.novelty import UNLIKE  # noqa: PLC0415

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("", justify="right", no_wrap=True)
    table.add_column("file", overflow="fold")
    table.add_column("uncertainty", justify="right", no_wrap=True)
    for heading in ("most likely", "next"):
        table.add_column(heading, overflow="fold")
        table.add_column(justify="right", no_wrap=True)
    if model_count > 1:
        table.add_column(f"disagreeing, of {model_count} models", justify="right")
    if any(candidate.is_novel for candidate in selection.selected):
        table.add_column("note", overflow="fold")
    for rank, candidate in enumerate(selection.selected, 1):
        cells = [Text(str(rank)), Text(printable(candidate.path)), Text(f"{candidate.uncertainty:.2f}")]
        for prediction in candidate.predictions[:SHOWN_CLASSES]:
            cells += [Text(printable(prediction.name)), Text(f"{prediction.probability:.1%}")]
        cells += [Text()] * (3 + 2 * SHOWN_CLASSES - len(cells))
        cells += [Text(str(candidate.models_disagreeing))] if model_count > 1 else []
        table.add_row(*cells, *([Text(UNLIKE, "yellow")] if candidate.is_novel else []))
    return table


def _report_failures(selection: "Selection", count: int, missing: list[tuple[Path, str]]) -> None:
    """Log what could not be done; with exit status 1, if a file could not be read."""
    if selection.candidate_count < count:
        logger.info("all %d readable photos are listed: there are no more", selection.candidate_count)
    for path, error in selection.errors:
        logger.error("no prediction for %s: %s", printable(path), printable(error))
    for path, error in missing:
        logger.error("the sheet does not show %s: %s", printable(path), printable(error))
    if selection.errors or missing:
        raise typer.Exit(1)
