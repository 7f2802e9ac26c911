"""How much training pictures are changed at random, as the section `augment` of params.yaml states it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Augment:
    """How much a training picture may differ from its file; nothing by default, as in the report.

    Attributes:
        flip: mirror it, each way half of the time: True, horizontally and vertically; or horizontal.
        rotate: up to this share of a full turn, either way.
        zoom: in or out by up to this share.
        shift: in each direction by up to this share of the side.
        color: brightness, contrast and saturation by up to this share, hue by a tenth of it.
    """

    flip: bool | str = False
    rotate: float = 0.0
    zoom: float = 0.0
    color: float = 0.0
    shift: float = 0.0
