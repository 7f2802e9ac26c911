"""weights.json: the record of a backbone's initial weights in a weights folder."""

from dataclasses import dataclass
from pathlib import Path

from realwaste.core.files import read_json
from realwaste.models.applications import is_file
from realwaste.models.registry import BACKBONES, prefer_pretrained

RECORD = "weights.json"


@dataclass(frozen=True)
class WeightsRecord:
    """The contents of a weights folder."""

    backbone: str  # a name in applications.APPLICATIONS, or the file name of a `.keras` feature extractor
    weights: str  # `imagenet`, `random`, or the name of a file
    file: str | None  # in the folder; None for random weights
    sha256: str | None  # of that file
    seed: int | None  # of random weights, else None: a new seed does not rerun stages that use pretrained weights
    # Of random weights that stand in for ImageNet's: nobody should wait for their features at a large image size.
    max_image_size: int | None = None

    def image_size(self, requested: int) -> int:
        """The height and width, in pixels, that the backbone computes at if params.yaml requests this size."""
        return requested if self.max_image_size is None else min(requested, self.max_image_size)

    def constructor_or_file(self, folder: Path) -> str:
        """The argument `backbone` of feature_extractor.build."""
        return str(folder / self.backbone) if is_file(self.backbone) else self.backbone

    def weights_file(self, folder: Path) -> Path | None:
        """The argument `weights` of feature_extractor.build; None if they are random or inside the extractor."""
        return None if self.file is None or is_file(self.backbone) else folder / self.file


def read(folder: Path) -> WeightsRecord:
    """Read the record that the fetch stage wrote."""
    return WeightsRecord(**read_json(folder / RECORD))


def preferred_backbones(folder: Path) -> list[str]:
    """The slots whose backbone is pretrained, in their order; all if none is. `folder` has a weights folder of each."""
    return prefer_pretrained({slot: read(folder / slot).weights for slot in BACKBONES})


def probe_backbone(folder: Path) -> str:
    """The first of `preferred_backbones`; if possible not a `.keras` file, which may take images of one size only."""
    preferred = preferred_backbones(folder)
    return next((slot for slot in preferred if not is_file(read(folder / slot).backbone)), preferred[0])
