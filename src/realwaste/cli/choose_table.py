"""What was chosen to be labelled, as people read it: one table, a row a photograph."""

from rich import box
from rich.table import Table
from rich.text import Text

from realwaste.cli.choose_selection import SHOWN, Choice
from realwaste.core.file_names import printable
from realwaste.models.novelty import UNLIKE


def table(choice: Choice, models: int) -> Table:
    """Rank, file, uncertainty, the best two classes, and how many of several models have another best class."""
    drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    drawn.add_column("", justify="right", no_wrap=True)
    drawn.add_column("file", overflow="fold")
    drawn.add_column("uncertainty", justify="right", no_wrap=True)
    for heading in ("most likely", "next"):
        drawn.add_column(heading, overflow="fold")
        drawn.add_column(justify="right", no_wrap=True)
    if models > 1:
        drawn.add_column(f"otherwise, of {models} models", justify="right")
    if any(one.unlike for one in choice.chosen):
        drawn.add_column("but", overflow="fold")
    for rank, one in enumerate(choice.chosen, 1):
        cells = [Text(str(rank)), Text(printable(one.path)), Text(f"{one.uncertainty:.2f}")]
        for said in one.predictions[:SHOWN]:
            cells += [Text(printable(said.name)), Text(f"{said.probability:.1%}")]
        cells += [Text()] * (3 + 2 * SHOWN - len(cells))
        cells += [Text(str(one.models_disagreeing))] if models > 1 else []
        drawn.add_row(*cells, *([Text(UNLIKE, "yellow")] if one.unlike else []))
    return drawn
