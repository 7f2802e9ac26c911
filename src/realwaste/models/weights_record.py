"""weights.json: the record of a backbone's initial weights in a weights folder."""

from dataclasses import dataclass
from pathlib import Path

from realwaste.core.files import read_json
from realwaste.models.applications import is_file
from realwaste.models.registry import BACKBONES, prefer_pretrained

RECORD = "weights.json"


@dataclass(frozen=True)
class WeightsRecord:
    """The contents of a weights folder.

    Attributes:
        backbone: a name in applications.APPLICATIONS, or the file name of a `.keras` feature extractor.
        weights: `imagenet`, `random`, or the name of a file.
        file: the file in the folder; None for random weights.
        sha256: of that file.
        seed: of random weights, else None, so that a new seed does not rerun stages that use pretrained weights.
        max_image_size: of random weights that stand in for ImageNet's; None for all others. Nobody should wait for the
            features of such weights at a large image size.
    """

    backbone: str
    weights: str
    file: str | None
    sha256: str | None
    seed: int | None
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
    """The slots whose backbone is pretrained, in their order; all slots if none is.

    Args:
        folder: has the weights folder of each slot.
    """
    return prefer_pretrained({slot: read(folder / slot).weights for slot in BACKBONES})


def probe_backbone(folder: Path) -> str:
    """The first of `preferred_backbones`; if possible not a `.keras` file, which may take images of one size only."""
    preferred = preferred_backbones(folder)
    return next((slot for slot in preferred if not is_file(read(folder / slot).backbone)), preferred[0])
