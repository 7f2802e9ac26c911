"""What the pipeline reports of a network: its layers and its numbers of parameters. Model files contain it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ["block", "units", "layers", "trained_layers", "output", "parameters", "trained_parameters", "multiply_adds"]
_COSTS = ["layers", "trained_layers", "multiply_adds"]


@dataclass(frozen=True)
class Architecture:
    """A summary of a network, which is read without Keras."""

    blocks: list[tuple[str, int, int, int, str, int, int, int]]  # the rows of `table`
    parameters: int
    trainable_parameters: int
    accepts_cached_vectors: bool  # see feature_split

    def table(self) -> "pd.DataFrame":
        """A row for each layer or block, with COLUMNS; see layer_table.describe."""
        import pandas as pd  # noqa: PLC0415 - an extra, which predicting does not need

        return pd.DataFrame(self.blocks, columns=COLUMNS)

    def costs(self) -> dict[str, int]:
        """For metrics: parameters; and the sums of layers, trained_layers and multiply_adds over the table."""
        table = self.table()
        parameters = {"parameters": self.parameters, "trainable_parameters": self.trainable_parameters}
        return parameters | {name: int(table[name].sum()) for name in _COSTS}
