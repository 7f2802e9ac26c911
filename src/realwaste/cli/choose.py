"""`realwaste choose`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from realwaste.cli import model_loading, output_options, progress_bar, standard_output
from realwaste.cli.options import AsJson
from realwaste.core import log
from realwaste.core.file_names import printable

if TYPE_CHECKING:
    from realwaste.cli.choose_selection import Choice

Photos = Annotated[
    list[str],
    typer.Argument(
        metavar="FOLDER",
        help="A folder of unlabelled photos (searched at every depth); also files or quoted patterns, several of them.",
        show_default=False,
    ),
]
Models = Annotated[
    list[str] | None,
    typer.Option(
        "--model",
        "-m",
        metavar="NAME|FILE",
        help="A name, as irv2 for models/irv2.keras, or the path of a .keras file; given again, the models are asked "
        "together. Without it: the model of the highest validation accuracy in metrics/compare.json.",
        show_default=False,
    ),
]
Csv = Annotated[
    Path | None,
    typer.Option("--csv", metavar="FILE", help="Also write a row a photo, with an empty label.", show_default=False),
]
Sheet = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE.jpg|png",
        help="Also write a contact sheet: small pictures with their names and best two classes.",
        show_default=False,
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
    """Choose the photos that are worth a label most.

    Those that the models are least sure of, spread so that not all show the same. Uncertainty is 1 where the best two
    classes are as probable, and 0 where one is certain. A file that cannot be read is named, and the exit status is
    then 1.

    Example: `realwaste choose unlabelled/ --count 50 --sheet look.jpg`
    """
    # OpenCV, which --help need not wait for.
    from realwaste.cli import choose_selection, choose_table, image_paths  # noqa: PLC0415

    paths = image_paths.expand(folder)
    _check_outputs(csv, sheet, count, folder, paths)
    names: list[str | None] = [*dict.fromkeys(model or ())] or [None]
    sessions = [model_loading.open_session(model_loading.resolve_model(name), max_images=len(paths)) for name in names]
    choose_selection.check_alike(sessions)
    asked = [
        list(progress_bar.track(choose_selection.answers(one, paths), len(paths), f"asking {one.facts.name}"))
        for one in sessions
    ]
    made = choose_selection.made(asked, sessions[0].facts.classes, count)
    try:
        not_shown = _write(csv, sheet, made)
    finally:  # the answers are not lost where a file cannot be written
        if as_json:
            standard_output.record(choose_selection.record(sessions, made))
        else:
            standard_output.tables([choose_table.table(made, len(sessions))])
    _end(made, count, not_shown)


def _check_outputs(csv: Path | None, sheet: Path | None, count: int, folder: list[str], paths: list[Path]) -> None:
    """UserError where something cannot be written, before a model is loaded."""
    from realwaste.cli import choose_selection, choose_sheet, predictions_csv  # noqa: PLC0415 - as above

    if sheet:
        choose_sheet.check(sheet, count, folder, paths)
    if csv:
        predictions_csv.check(csv, paths, folder, choose_selection.LIST)
    if csv and sheet:
        output_options.check_distinct("--csv", csv, "--sheet", sheet)


def _write(csv: Path | None, sheet: Path | None, made: "Choice") -> list[tuple[Path, str]]:
    """The files; path and reason of what the sheet cannot show."""
    from realwaste.cli import choose_selection, choose_sheet  # noqa: PLC0415 - as above

    if csv:
        choose_selection.write_csv(csv, made)
    return choose_sheet.write(sheet, made.chosen) if sheet else []


def _end(made: "Choice", count: int, not_shown: list[tuple[Path, str]]) -> None:
    """Say what could not be done, in the exit status too."""
    if made.candidates < count:
        log.logger.info("all %d photos that can be read: no more were there to choose from", made.candidates)
    for path, error in made.errors:
        log.logger.error("no answer for %s: %s", printable(path), printable(error))
    for path, error in not_shown:
        log.logger.error("the sheet does not show %s: %s", printable(path), printable(error))
    if made.errors or not_shown:
        raise typer.Exit(1)
