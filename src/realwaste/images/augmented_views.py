"""Photographs as another camera might have taken them, on another ground: to learn from, beside the real ones."""

import zlib
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from realwaste.images.reader import Pixels, resize

# Pixels a side at which the object is told from its ground, and at which it is put on another: finer costs more time
# than the embedding, and the picture is made small afterwards.
_TOLD, _PUT = 96, 384
_LEAST = 0.03  # share of a picture below which what was found is no object


@dataclass(frozen=True)
class Variation:
    """How much a view may differ from its photograph. By turns of a quarter and mirroring it always may.

    Attributes:
        crop: the view shows at least 1 - crop of the area.
        stretch: and is up to 1 + stretch times wider than high, or higher than wide, than the photograph: whatever has
            another shape than a square is stretched to one by the reader.
        color: brightness, contrast, saturation and gamma by a factor of up to e^color, a channel by a third of that.
        background: share of the views whose ground is another: even, of a drawn colour, unevenly lit, with noise.
        degrade: share of the views of a bad camera: fewer pixels, blurred, with noise, compressed as a bad JPEG.
    """

    crop: float = 0.0
    stretch: float = 0.0
    color: float = 0.0
    background: float = 0.0
    degrade: float = 0.0


@dataclass(frozen=True)
class View:
    """The `number`-th view of a photograph, the same each time: of its number, folder and name alone."""

    how: Variation
    number: int

    def __call__(self, path: Path, image: Pixels, size: int) -> Pixels:
        """The photograph at `path`, RGB of any size, as (size, size, 3)."""
        chance = np.random.default_rng([self.number, zlib.crc32("/".join(path.parts[-2:]).encode())])
        return varied(image, size, self.how, chance)


def varied(image: Pixels, size: int, how: Variation, chance: np.random.Generator) -> Pixels:
    """`image`, RGB of any size, changed at random and resized to (size, size, 3)."""
    if chance.random() < how.background:
        image = _on_other_ground(resize(image, _PUT), chance)
    view = resize(_cut(image, how, chance), size)
    if how.color:
        view = _recolored(view, how.color, chance)
    return _degraded(view, chance) if chance.random() < how.degrade else view


def _cut(image: Pixels, how: Variation, chance: np.random.Generator) -> Pixels:
    height, width = image.shape[:2]
    area = chance.uniform(1 - how.crop, 1)
    shape = np.exp(chance.uniform(-1, 1) * np.log1p(how.stretch) / 2)
    high, wide = (
        max(1, min(side, int(side * share)))
        for side, share in ((height, area**0.5 * shape), (width, area**0.5 / shape))
    )
    top, left = chance.integers(height - high + 1), chance.integers(width - wide + 1)
    piece = np.rot90(image[top : top + high, left : left + wide], int(chance.integers(4)))
    return np.ascontiguousarray(piece[:, ::-1] if chance.random() < 0.5 else piece)


def _recolored(image: Pixels, most: float, chance: np.random.Generator) -> Pixels:
    gamma, contrast, saturation, brightness = np.exp(chance.uniform(-most, most, 4) * (1, 1, 1, 0.5))
    channels = np.exp(chance.uniform(-most, most, 3) / 3)
    values = (image.astype(np.float32) / 255) ** np.float32(gamma) * channels.astype(np.float32)
    values = (values - values.mean()) * np.float32(contrast) + values.mean()
    grey = values.mean(axis=2, keepdims=True)
    return _pixels((grey + (values - grey) * np.float32(saturation)) * np.float32(255 * brightness))


def _degraded(image: Pixels, chance: np.random.Generator) -> Pixels:
    size = len(image)
    small = resize(image, max(1, round(size * chance.uniform(0.4, 0.8))))
    blurred = cv2.GaussianBlur(small, (0, 0), chance.uniform(0.2, 1.2))
    noisy = _pixels(blurred + chance.normal(0, chance.uniform(0, 12), small.shape))
    _, data = cv2.imencode(".jpg", noisy[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, int(chance.integers(20, 60))])
    return resize(_pixels(np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR_RGB))), size)


def _on_other_ground(image: Pixels, chance: np.random.Generator) -> Pixels:
    height, width = image.shape[:2]
    color = chance.uniform(40, 250) * np.exp(chance.normal(0, 0.12, 3))
    across, down = chance.uniform(-0.25, 0.25, 2)
    light = 1 + across * np.linspace(-1, 1, width) + down * np.linspace(-1, 1, height)[:, np.newaxis]
    grain = chance.normal(0, chance.uniform(0, 10), (height // 4, width // 4))
    ground = light[..., np.newaxis] * color + cv2.resize(grain, (width, height))[..., np.newaxis]
    share = _object(image)[..., np.newaxis]
    return _pixels(share * image + (1 - share) * np.clip(ground, 0, 255))


def _object(image: Pixels) -> NDArray[np.float32]:
    """How much of each pixel is the object's (height, width), by GrabCut (Rother et al., 2004).

    The rim is taken for ground, and the middle, to begin with, for the object; where none is found the middle is it.
    """
    side = np.arange(_TOLD)
    inside = np.minimum(side, _TOLD - 1 - side)
    depth = np.minimum(inside, inside[:, np.newaxis])
    kinds = [cv2.GC_BGD, cv2.GC_PR_BGD, cv2.GC_PR_FGD]
    kind = np.array(kinds, np.uint8)[np.searchsorted([_TOLD // 12, _TOLD // 6], depth, side="right")]
    cv2.setRNGSeed(0)  # of this thread
    try:
        models = np.zeros((1, 65)), np.zeros((1, 65))
        cv2.grabCut(resize(image, _TOLD), kind, (0, 0, 0, 0), *models, 2, cv2.GC_INIT_WITH_MASK)
        found = kind == cv2.GC_PR_FGD
    except cv2.error:  # one even colour: nothing is left of the object
        found = np.zeros_like(kind, bool)
    if found.mean() < _LEAST:
        found = depth >= _TOLD // 5
    soft = cv2.GaussianBlur(cv2.dilate(found.astype(np.float32), np.ones((3, 3))), (0, 0), 1.0)
    return np.asarray(cv2.resize(soft, image.shape[1::-1]), np.float32)


def _pixels(values: NDArray[np.floating]) -> Pixels:
    return np.clip(values, 0, 255).astype(np.uint8)
