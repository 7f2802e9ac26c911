"""What the workers of a training tell the process that waits for it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from realwaste.data_parallel.loop import Rows


@dataclass(frozen=True)
class News:
    """beats: steps that were told of, not all are; rows: of the history; refusal: as packed, empty without one."""

    beats: int
    rows: "Rows"
    refusal: str


class Progress:
    """An actor on the node of the process that waits, so that no lost worker takes it along.

    An outcome is kept as the mapping of its attributes: their class would bring TensorFlow into this process.
    """

    def __init__(self) -> None:
        self._news: dict[str, Any] = {"beats": 0, "rows": [], "refusal": ""}
        self._outcome: dict[str, Any] | None = None

    def beat(self) -> None:
        self._news["beats"] += 1

    def epoch(self, rows: "Rows") -> None:
        self._news["rows"] = rows

    def refuse(self, reason: str) -> None:
        """As realwaste.cluster.worker packs it."""
        self._news["refusal"] = reason

    def end(self, outcome: dict[str, Any]) -> None:
        self._outcome = outcome

    def news(self) -> News:
        return News(**self._news)

    def outcome(self) -> dict[str, Any] | None:
        return self._outcome
