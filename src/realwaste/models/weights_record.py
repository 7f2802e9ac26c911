"""The record of a weights folder: what a backbone starts from, known by hash."""

from dataclasses import dataclass
from pathlib import Path

from realwaste.models.applications import is_file
from realwaste.core.files import read_json

RECORD = "weights.json"


@dataclass(frozen=True)
class Weights:
    """What stands in a weights folder, beside this record.

    Attributes:
        backbone: a constructor of keras.applications, or the file name of a `.keras` feature extractor.
        weights: `imagenet`, `random`, or the name of the file that was given.
        file: the file in the folder; None for random weights.
        sha256: of that file.
        seed: of random weights, else None: a new seed leaves trained weights, and what is cached of them, alone.
    """

    backbone: str
    weights: str
    file: str | None
    sha256: str | None
    seed: int | None

    def constructor_or_file(self, folder: Path) -> str:
        """What feature_extractor.build takes as its backbone."""
        return str(folder / self.backbone) if is_file(self.backbone) else self.backbone

    def weights_file(self, folder: Path) -> Path | None:
        """What feature_extractor.build takes as its weights; None where they are random or inside the extractor."""
        return None if self.file is None or is_file(self.backbone) else folder / self.file


def read(folder: Path) -> Weights:
    """The record of a weights folder that the fetch stage left."""
    return Weights(**read_json(folder / RECORD))
