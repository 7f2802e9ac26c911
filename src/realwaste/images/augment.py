"""How much training pictures are changed at random, as the section `augment` of params.yaml states it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Augment:
    """How much a training picture may differ from its file; nothing by default, as in the report.

    Attributes:
        flip: mirror it, each way half of the time.
        rotate: up to this share of a full turn, either way.
        zoom: in or out by up to this share.
        color: brightness, contrast and saturation by up to this share, hue by a tenth of it.
    """

    flip: bool = False
    rotate: float = 0.0
    zoom: float = 0.0
    color: float = 0.0
