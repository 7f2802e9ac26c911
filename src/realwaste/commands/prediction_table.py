"""Answers as people read them: one table, a row a file."""

from collections.abc import Sequence

from rich import box
from rich.table import Table
from rich.text import Text

from realwaste.classifier.novelty import UNLIKE
from realwaste.commands.prediction import Answer
from realwaste.sources.file_names import printable

_HEADINGS = ("most likely", "next")


def table(answered: Sequence[Answer], top: int) -> Table:
    """File, then class and probability, `top` times; the reason where a file has none, a word where it is unlike."""
    drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    drawn.add_column("file", overflow="fold")
    ranks = max([min(top, len(answer.predictions)) for answer in answered] + [1])
    for rank in range(ranks):
        drawn.add_column(_HEADINGS[min(rank, 1)], overflow="fold")
        drawn.add_column(justify="right", no_wrap=True)
    if any(answer.unlike for answer in answered):
        drawn.add_column("but", overflow="fold")
    for answer in answered:
        cells = [Text(printable(answer.path))]
        if answer.error is not None:
            cells.append(Text(printable(answer.error), style="red"))
        for rank, prediction in enumerate(answer.predictions[:ranks]):
            style = "dim" if rank else "bold"
            cells += [Text(printable(prediction.name), style), Text(f"{prediction.probability:.1%}", style)]
        if answer.unlike:
            cells += [Text()] * (1 + 2 * ranks - len(cells)) + [Text(UNLIKE, "yellow")]
        drawn.add_row(*cells)
    return drawn
