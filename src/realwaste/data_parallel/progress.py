"""What the workers of a training tell the process that waits for it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from realwaste.data_parallel.loop import Rows


@dataclass(frozen=True)
class Report:
    """How far a training is.

    Attributes:
        beats: steps that were told of; not all are.
        rows: of the history, one an epoch.
        refusal: why a worker does not go on, as realwaste.cluster.worker packs it; empty where none refused.
    """

    beats: int
    rows: "Rows"
    refusal: str


class Progress:
    """A Ray actor that gathers what workers tell, on the node of the process that waits: no lost worker takes it along.

    An outcome is kept as the mapping of its attributes: their class would bring TensorFlow into this process.
    """

    def __init__(self) -> None:
        self._news: dict[str, Any] = {"beats": 0, "rows": [], "refusal": ""}
        self._outcome: dict[str, Any] | None = None

    def beat(self) -> None:
        """A worker has taken a step."""
        self._news["beats"] += 1

    def epoch(self, rows: "Rows") -> None:
        """An epoch has ended; `rows` are all of the history."""
        self._news["rows"] = rows

    def refuse(self, reason: str) -> None:
        """A worker does not go on; the reason as realwaste.cluster.worker packs it."""
        self._news["refusal"] = reason

    def end(self, outcome: dict[str, Any]) -> None:
        """The training has come to its end."""
        self._outcome = outcome

    def news(self) -> Report:
        return Report(**self._news)

    def outcome(self) -> dict[str, Any] | None:
        """What `end` was given; None before that."""
        return self._outcome
