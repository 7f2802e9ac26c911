"""Photographs of home as they might have been taken elsewhere, to validate on; views to learn from vary otherwise."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from realwaste.images.reader import Pixels, read, resize

_KEPT = 0.8  # share of a photograph's side that is taken with the object
_CORNER = 0.3  # share of another photograph's side that is taken for ground: mostly nothing lies there
_NEAREST, _FARTHEST = 1.5, 0.6


@dataclass(frozen=True)
class Elsewhere:
    """What lies in the middle of a photograph, nearer or farther, anywhere in the picture, on ground of another class.

    A shadow falls over a part, the light is warmer or colder, and the camera was moved.

    Attributes:
        others: the photographs of each class, whose corners are the grounds.
    """

    others: dict[str, list[Path]]

    def __call__(self, path: Path, image: Pixels, size: int) -> Pixels:
        chance = np.random.default_rng([7, *path.name.encode()])
        near = np.exp(chance.uniform(np.log(_FARTHEST), np.log(_NEAREST)))
        aside = chance.uniform(-1, 1, 2) * max(0.1, 0.5 - _KEPT * near / 2)
        left, top = (0.5 - near / 2 + aside) * size
        put = np.array([[near, 0, left], [0, near, top]])
        side = np.abs(np.linspace(-1, 1, size)) / _KEPT
        share = np.clip((1.2 - side[:, np.newaxis] ** 4 - side**4) / 0.4, 0, 1)
        shown = np.asarray(cv2.warpAffine(share, put, (size, size)))[..., np.newaxis]
        moved = cv2.warpAffine(resize(image, size), put, (size, size), borderMode=cv2.BORDER_REFLECT)
        mixed = shown * moved + (1 - shown) * self._ground(path.parent.name, size, chance)
        return np.clip(_unsteady(mixed * _light(size, chance), chance), 0, 255).astype(np.uint8)

    def _ground(self, label: str, size: int, chance: np.random.Generator) -> Pixels:
        other = sorted(set(self.others) - {label})[chance.integers(len(self.others) - 1)]
        whole = read(self.others[other][chance.integers(len(self.others[other]))], round(size / _CORNER))
        rows, columns = (slice(0, size) if chance.random() < 0.5 else slice(-size, None) for _ in range(2))
        return whole[rows, columns]


def _light(size: int, chance: np.random.Generator) -> NDArray[np.floating]:
    """Warm or cold, and behind a straight soft edge somewhere in the picture a shadow: a factor of each pixel."""
    angle, warmth = chance.uniform(0, 2 * np.pi), np.exp(chance.uniform(-0.25, 0.25))
    line = np.linspace(-1, 1, size)
    depth = np.cos(angle) * line + np.sin(angle) * line[:, np.newaxis] - chance.uniform(-0.7, 0.7)
    shadow = 1 - chance.uniform(0.2, 0.6) * np.clip(depth / 0.3 + 0.5, 0, 1)
    return shadow[..., np.newaxis] * chance.uniform(0.9, 1.4) * np.array([warmth, 1, 1 / warmth])


def _unsteady(image: NDArray[np.floating], chance: np.random.Generator) -> NDArray[np.floating]:
    """Blurred along a line of at most a thirtieth of the side."""
    length = 1 + int(len(image) * chance.uniform(0, 1 / 30))
    along = cv2.getRotationMatrix2D(((length - 1) / 2,) * 2, chance.uniform(0, 180), 1)
    line = np.zeros((length, length), np.float32)
    line[length // 2] = 1
    kernel = cv2.warpAffine(line, along, (length, length))
    return np.asarray(cv2.filter2D(image, -1, kernel / kernel.sum()))
