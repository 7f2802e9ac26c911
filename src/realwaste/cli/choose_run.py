"""One run of `realwaste choose`: the checks of its options, the predictions, and what it prints and writes."""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import typer
from rich import box
from rich.table import Table
from rich.text import Text

from realwaste.cli import (
    choose_selection,
    choose_sheet,
    image_paths,
    model_loading,
    predictions_csv,
    progress_bar,
    standard_output,
)
from realwaste.cli.choose_selection import Selection
from realwaste.cli.choose_sheet import SHOWN_CLASSES
from realwaste.cli.output_options import OutputKind
from realwaste.core.csv_rows import ENCODING, Value, path_cell
from realwaste.core.errors import UserError
from realwaste.core.file_names import printable, to_unicode
from realwaste.core.log import logger
from realwaste.models import image_predictions, registry
from realwaste.models.novelty import UNLIKE
from realwaste.models.session import Session


def run(
    folder: Sequence[str],
    count: int,
    models: Sequence[str | None],
    *,
    as_json: bool,
    csv_file: Path | None,
    sheet: Path | None,
) -> None:
    """Choose `count` photographs, print them, and write the files."""
    paths = image_paths.find_images(folder)
    if sheet:
        choose_sheet.check_sheet(sheet, min(count, len(paths)), folder, paths)
    if csv_file:
        predictions_csv.check_csv(csv_file, paths, folder, UNLABELLED_LIST)
    if csv_file and sheet and csv_file.resolve() == sheet.resolve():
        raise UserError("--csv and --sheet must name different files.", "Rename one of them.", str(csv_file))
    sessions = [model_loading.open_session(model_loading.resolve_model(name), max_images=len(paths)) for name in models]
    choose_selection.check_same_classes(sessions)
    by_model = []
    for session in sessions:
        predictions = choose_selection.predict_with_features(session, paths)
        name = registry.display_name(session.metadata.name, session.metadata.backbone)
        by_model.append(list(progress_bar.track(predictions, len(paths), f"predicting with {name}")))
    selection = choose_selection.select_photos(by_model, sessions[0].metadata.classes, count)
    try:
        if csv_file:
            _write_csv(csv_file, selection)
        missing = choose_sheet.write_sheet(sheet, selection.selected) if sheet else []
    finally:  # the selection is printed even if a file cannot be written
        if as_json:
            standard_output.print_json(_record(sessions, selection))
        else:
            standard_output.print_tables([_table(selection, len(sessions))])
    _report_failures(selection, count, missing)


def _table(selection: Selection, model_count: int) -> Table:
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
        cells += [Text(str(candidate.models_disagreeing))] if model_count > 1 else []
        table.add_row(*cells, *([Text(UNLIKE, "yellow")] if candidate.is_novel else []))
    return table


def _report_failures(selection: Selection, count: int, missing: list[tuple[Path, str]]) -> None:
    """Log what could not be done; with exit status 1, if a file could not be read."""
    if selection.candidate_count < count:
        logger.info("all %d readable photos are listed: there are no more", selection.candidate_count)
    for path, error in selection.errors:
        logger.error("no prediction for %s: %s", printable(path), printable(error))
    for path, error in missing:
        logger.error("the sheet does not show %s: %s", printable(path), printable(error))
    if selection.errors or missing:
        raise typer.Exit(1)


def _record(sessions: Iterable[Session], selection: Selection) -> dict[str, Any]:
    """The values for JSON."""
    return {
        "models": [image_predictions.model_record(session) for session in sessions],
        "candidates": selection.candidate_count,
        "chosen": [
            {
                "path": to_unicode(candidate.path),
                "uncertainty": candidate.uncertainty,
                "predictions": [prediction.record() for prediction in candidate.predictions[:SHOWN_CLASSES]],
                "models_disagreeing": candidate.models_disagreeing,
                "unlike": candidate.is_novel,
            }
            for candidate in selection.selected
        ],
        "errors": [{"path": to_unicode(path), "error": to_unicode(error)} for path, error in selection.errors],
    }


_COLUMNS = ("path", "label", "uncertainty", "best", "best_probability", "second", "second_probability")


def _is_unlabelled_list(file: Path) -> bool:
    """Whether a file was written by `_write_csv`, and its column `label` is still empty."""
    columns = predictions_csv.read_header(file)
    if columns[:3] != list(_COLUMNS[:3]) or columns[-1] != "unlike":
        return False
    with file.open(encoding=ENCODING, errors="replace", newline="") as stream:
        return not any(row.get("label") for row in csv.DictReader(stream))


UNLABELLED_LIST = OutputKind("a list of an earlier run without labels", _is_unlabelled_list)


def _write_csv(file: Path, selection: Selection) -> None:
    """Write a row per photograph for a spreadsheet: path, an empty label to fill in, and the predictions."""
    header = [*_COLUMNS, "models_disagreeing", "unlike"]
    with predictions_csv.lock(file), predictions_csv.write_rows(file, header, UNLABELLED_LIST) as write:
        for candidate in selection.selected:
            row: list[Value] = [path_cell(str(candidate.path)), None, round(candidate.uncertainty, 4)]
            for prediction in candidate.predictions[:SHOWN_CLASSES]:
                row += [prediction.name, round(prediction.probability, 4)]
            write([*row, candidate.models_disagreeing, candidate.is_novel])
