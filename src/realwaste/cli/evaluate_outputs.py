"""The files that `realwaste evaluate` writes: a CSV row for each photograph, and copies of the mistakes."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from realwaste.cli import output_options, predictions_csv
from realwaste.cli.photo_outputs import Sorter
from realwaste.cli.predictions_csv import Write
from realwaste.core.csv_rows import Value, path_cell
from realwaste.core.log import logger
from realwaste.evaluation.external_sets import ExternalSet
from realwaste.models.image_predictions import UNDEFINED
from realwaste.models.model_file import ModelMetadata
from realwaste.models.probabilities import Probabilities, apply_temperature

_HEADER = ("path", "label", "class", "probability", "label_probability", "correct", "error")


def check(test_set: ExternalSet, source: str, csv: Path | None, mistakes: Path | None) -> None:
    """Raise UserError if a file cannot be written, or would replace or join the photographs at `source`."""
    folders = [source] if Path(source).is_dir() else []
    if csv:
        predictions_csv.check_csv(csv, [*test_set.originals, Path(source)], folders)
    if mistakes:
        output_options.check_folder("--mistakes", mistakes, folders, test_set.originals)


def write(
    test_set: ExternalSet, metadata: ModelMetadata, raw: Probabilities, csv: Path | None, mistakes: Path | None
) -> int:
    """Write the rows to `csv`, and copy mistakes to mistakes/LABEL/PREDICTED CLASS/.

    Args:
        raw: the model's probabilities for the images of the set, (images, classes), not calibrated.

    Returns:
        The number of mistakes that could not be copied; the CSV file has the reasons.
    """
    sorter, failed = Sorter(mistakes) if mistakes else None, 0
    with ExitStack() as stack:
        write_row: Write | None = None
        if csv:
            stack.enter_context(predictions_csv.lock(csv))
            write_row = stack.enter_context(predictions_csv.write_rows(csv, _HEADER))
        for original, row in zip(test_set.originals, _rows(test_set, metadata, raw), strict=True):
            _, label, predicted, *_, correct, error = row
            if sorter and correct is False:
                try:
                    sorter.copy(original, str(label), str(predicted))
                except OSError as problem:
                    error, failed = f"not copied: {problem.strerror or problem}", failed + 1
            if write_row:
                write_row([*row[:-1], error])
        if write_row:
            for path, reason in test_set.rejected[["path", "reason"]].itertuples(index=False):
                name = path_cell(test_set.display_name(path))
                write_row([name, test_set.label_of(path), None, None, None, None, reason])
    if sorter:
        logger.info("mistakes %s", sorter.summary())
    return failed


def _rows(test_set: ExternalSet, metadata: ModelMetadata, raw: Probabilities) -> Iterator[list[Value]]:
    """The cells of each image; `label` is the folder's name, and `correct` is empty, if the model has no such class."""
    probabilities = apply_temperature(raw, metadata.temperature)
    index_of_class = {name: index for index, name in enumerate(metadata.classes)}
    for relative_path, row in zip(test_set.images["path"], probabilities, strict=True):
        label = test_set.label_of(relative_path)
        index, path = index_of_class.get(label), path_cell(test_set.display_name(relative_path))
        if not np.isfinite(row).all():
            yield [path, label, None, None, None, None, UNDEFINED]
            continue
        best = int(row.argmax())
        label_cells: list[Value] = [None, None] if index is None else [float(row[index]), best == index]
        yield [path, label, metadata.classes[best], float(row[best]), *label_cells, None]
