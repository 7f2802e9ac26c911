"""Simulated external photographs, to validate on: the middle of a photograph on the background of another class."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from realwaste.images.reader import Pixels, read_image, resize_image

_OBJECT_SHARE = 0.8  # share of a photograph's side that is taken with the object
_CORNER_SHARE = 0.3  # share of another photograph's side that is taken for the background: mostly nothing lies there
_SMALLEST, _LARGEST = 0.6, 1.5


@dataclass(frozen=True)
class SimulatedExternal:
    """The middle of a photograph, smaller or larger, anywhere in the picture, on the background of another class.

    A shadow falls over a part, the light is warmer or colder, and motion blurs it.

    Attributes:
        photographs: the files of each class, whose corners are the backgrounds.
    """

    photographs: Mapping[str, Sequence[Path]]

    def __call__(self, path: Path, image: Pixels, size: int) -> Pixels:
        rng = np.random.default_rng([7, *path.name.encode()])
        scale = np.exp(rng.uniform(np.log(_SMALLEST), np.log(_LARGEST)))
        offset = rng.uniform(-1, 1, 2) * max(0.1, 0.5 - _OBJECT_SHARE * scale / 2)
        left, top = (0.5 - scale / 2 + offset) * size
        placement = np.array([[scale, 0, left], [0, scale, top]])
        side = np.abs(np.linspace(-1, 1, size)) / _OBJECT_SHARE
        mask = np.clip((1.2 - side[:, np.newaxis] ** 4 - side**4) / 0.4, 0, 1)
        opacity = np.asarray(cv2.warpAffine(mask, placement, (size, size)))[..., np.newaxis]
        moved = cv2.warpAffine(resize_image(image, size), placement, (size, size), borderMode=cv2.BORDER_REFLECT)
        mixed = opacity * moved + (1 - opacity) * self._background(path.parent.name, size, rng)
        return np.clip(_blur_motion(mixed * _light(size, rng), rng), 0, 255).astype(np.uint8)

    def _background(self, label: str, size: int, rng: np.random.Generator) -> Pixels:
        other = sorted(set(self.photographs) - {label})[rng.integers(len(self.photographs) - 1)]
        file = self.photographs[other][int(rng.integers(len(self.photographs[other])))]
        large = read_image(file, round(size / _CORNER_SHARE))
        rows, columns = (slice(0, size) if rng.random() < 0.5 else slice(-size, None) for _ in range(2))
        return large[rows, columns]


def _light(size: int, rng: np.random.Generator) -> NDArray[np.floating]:
    """A factor for each pixel: warm or cold, and a shadow with a straight soft edge."""
    angle, warmth = rng.uniform(0, 2 * np.pi), np.exp(rng.uniform(-0.25, 0.25))
    line = np.linspace(-1, 1, size)
    depth = np.cos(angle) * line + np.sin(angle) * line[:, np.newaxis] - rng.uniform(-0.7, 0.7)
    shadow = 1 - rng.uniform(0.2, 0.6) * np.clip(depth / 0.3 + 0.5, 0, 1)
    return np.asarray(shadow[..., np.newaxis] * rng.uniform(0.9, 1.4) * np.array([warmth, 1, 1 / warmth]))


def _blur_motion(image: NDArray[np.floating], rng: np.random.Generator) -> NDArray[np.floating]:
    """Blurred along a line of at most a thirtieth of the side."""
    length = 1 + int(len(image) * rng.uniform(0, 1 / 30))
    rotation = cv2.getRotationMatrix2D(((length - 1) / 2,) * 2, rng.uniform(0, 180), 1)
    line = np.zeros((length, length), np.float32)
    line[length // 2] = 1
    kernel = cv2.warpAffine(line, rotation, (length, length))
    return np.asarray(cv2.filter2D(image, -1, kernel / kernel.sum()))
