"""Answers as people read them: a row a file."""

from collections.abc import Iterable, Sequence

from rich.cells import cell_len
from rich.text import Text

from realwaste.cli.row_table import Column
from realwaste.core.file_names import printable
from realwaste.models.image_predictions import NOT_SURE, ImagePrediction
from realwaste.models.novelty import UNLIKE

_HEADINGS = ("most likely", "next")
_BUT = 15  # characters at least: the words are folded


def widest(texts: Iterable[str]) -> int:
    """Characters that the widest takes on a terminal; 0 of none."""
    return max((cell_len(printable(text)) for text in texts), default=0)


def columns(files: int, classes: Sequence[str], top: int, *, measures: bool) -> list[Column]:
    """File, then class and probability, `top` times.

    Args:
        files: characters of the widest file name.
        measures: whether the model knows what is unlike anything it has learned.
    """
    names = widest([*classes, NOT_SURE])
    ranks = [Column(_HEADINGS[min(rank, 1)], names) for rank in range(min(top, len(classes)))]
    pairs = [column for rank in ranks for column in (rank, Column("", len("100.0%"), right=True))]
    return [Column("file", files), *pairs, *([Column("but", _BUT)] if measures else [])]


def cells(answer: ImagePrediction, ranks: int) -> list[Text]:
    """A row of `columns`; where a file has no answer the reason, and a word where it is unlike anything learned."""
    file = Text(printable(answer.name))
    error = [] if answer.error is None else [Text(printable(answer.error), "red")]
    if not answer.predictions:
        return [file, *error]
    row = [file]
    if answer.not_sure:
        row += [Text(NOT_SURE, "bold yellow"), Text()]
    for rank, prediction in enumerate(answer.predictions[: ranks - len(row) // 2]):
        style = "dim" if rank or answer.not_sure else "bold"
        row += [Text(printable(prediction.name), style), Text(f"{prediction.probability:.1%}", style)]
    remarks = [*([Text(UNLIKE, "yellow")] if answer.is_novel else []), *error]
    return [*row, Text("; ").join(remarks)] if remarks else row
