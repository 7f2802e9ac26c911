"""Augmented views: photographs as another camera, or another background, might show them; for training only."""

import zlib
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from realwaste.images.reader import Pixels, resize_image

# Pixels a side for separating the object from its background, and for putting it on another one. More would take
# longer than the embedding, and the view is resized afterwards.
_SEGMENT_SIZE, _COMPOSE_SIZE = 96, 384
_MIN_OBJECT_SHARE = 0.03  # share of the image; a smaller mask is not taken for the object


@dataclass(frozen=True)
class ViewConfig:
    """How much a view may differ from its photograph. Quarter turns and mirroring are always random.

    Attributes:
        crop: a view shows at least 1 - crop of the area.
        stretch: the aspect ratio changes by a factor of up to 1 + stretch, either way. The reader stretches every view
            to a square.
        color: contrast, saturation and gamma change by a factor of up to e^color, brightness by its square root, each
            channel by its cube root.
        background: share of views with a new background: one random colour, uneven light and noise.
        degrade: share of views like those of a bad camera: low resolution, blur, noise, strong JPEG compression.
    """

    crop: float = 0.0
    stretch: float = 0.0
    color: float = 0.0
    background: float = 0.0
    degrade: float = 0.0


@dataclass(frozen=True)
class AugmentedView:
    """The `number`-th view of a photograph. It depends only on `number` and the file's folder and name."""

    config: ViewConfig
    number: int

    def __call__(self, path: Path, image: Pixels, size: int) -> Pixels:
        """The view of `image`, the RGB photograph of any size at `path`, as (size, size, 3) uint8."""
        rng = np.random.default_rng([self.number, zlib.crc32("/".join(path.parts[-2:]).encode())])
        return augment_image(image, size, self.config, rng)


def augment_image(image: Pixels, size: int, config: ViewConfig, rng: np.random.Generator) -> Pixels:
    """Change an RGB image of any size at random and resize it to (size, size, 3)."""
    if rng.random() < config.background:
        image = _replace_background(resize_image(image, _COMPOSE_SIZE), rng)
    view = resize_image(_crop(image, config, rng), size)
    if config.color:
        view = _recolored(view, config.color, rng)
    return _degraded(view, rng) if rng.random() < config.degrade else view


def _crop(image: Pixels, config: ViewConfig, rng: np.random.Generator) -> Pixels:
    height, width = image.shape[:2]
    area = rng.uniform(1 - config.crop, 1)
    shape = np.exp(rng.uniform(-1, 1) * np.log1p(config.stretch) / 2)
    high, wide = (
        max(1, min(side, int(side * share)))
        for side, share in ((height, area**0.5 * shape), (width, area**0.5 / shape))
    )
    top, left = rng.integers(height - high + 1), rng.integers(width - wide + 1)
    piece = np.rot90(image[top : top + high, left : left + wide], int(rng.integers(4)))
    return np.ascontiguousarray(piece[:, ::-1] if rng.random() < 0.5 else piece)


def _recolored(image: Pixels, max_log_factor: float, rng: np.random.Generator) -> Pixels:
    gamma, contrast, saturation, brightness = np.exp(rng.uniform(-max_log_factor, max_log_factor, 4) * (1, 1, 1, 0.5))
    channels = np.exp(rng.uniform(-max_log_factor, max_log_factor, 3) / 3)
    values = (image.astype(np.float32) / 255) ** np.float32(gamma) * channels.astype(np.float32)
    values = (values - values.mean()) * np.float32(contrast) + values.mean()
    grey = values.mean(axis=2, keepdims=True)
    return _to_uint8((grey + (values - grey) * np.float32(saturation)) * np.float32(255 * brightness))


def _degraded(image: Pixels, rng: np.random.Generator) -> Pixels:
    size = len(image)
    small = resize_image(image, max(1, round(size * rng.uniform(0.4, 0.8))))
    blurred = cv2.GaussianBlur(small, (0, 0), rng.uniform(0.2, 1.2))
    noisy = _to_uint8(blurred + rng.normal(0, rng.uniform(0, 12), small.shape))
    _, data = cv2.imencode(".jpg", noisy[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(20, 60))])
    return resize_image(_to_uint8(np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR_RGB))), size)


def _replace_background(image: Pixels, rng: np.random.Generator) -> Pixels:
    height, width = image.shape[:2]
    color = rng.uniform(40, 250) * np.exp(rng.normal(0, 0.12, 3))
    across, down = rng.uniform(-0.25, 0.25, 2)
    light = 1 + across * np.linspace(-1, 1, width) + down * np.linspace(-1, 1, height)[:, np.newaxis]
    grain = rng.normal(0, rng.uniform(0, 10), (height // 4, width // 4))
    background = light[..., np.newaxis] * color + cv2.resize(grain, (width, height))[..., np.newaxis]
    opacity = _object_mask(image)[..., np.newaxis]
    return _to_uint8(opacity * image + (1 - opacity) * np.clip(background, 0, 255))


def _object_mask(image: Pixels) -> NDArray[np.float32]:
    """The object's opacity in each pixel, 0 to 1, (height, width), by GrabCut (Rother et al., 2004).

    GrabCut starts with the rim as background and the middle as object. If it finds no object, the middle is used.
    """
    position = np.arange(_SEGMENT_SIZE)
    edge_distance = np.minimum(position, _SEGMENT_SIZE - 1 - position)
    distance_to_edge = np.minimum(edge_distance, edge_distance[:, np.newaxis])
    zones = np.searchsorted([_SEGMENT_SIZE // 12, _SEGMENT_SIZE // 6], distance_to_edge, side="right")
    labels = np.array([cv2.GC_BGD, cv2.GC_PR_BGD, cv2.GC_PR_FGD], np.uint8)[zones]
    cv2.setRNGSeed(0)  # of this thread
    try:
        models = np.zeros((1, 65)), np.zeros((1, 65))
        cv2.grabCut(resize_image(image, _SEGMENT_SIZE), labels, (0, 0, 0, 0), *models, 2, cv2.GC_INIT_WITH_MASK)
        mask = labels == cv2.GC_PR_FGD
    except cv2.error:  # a uniform image: no object pixels are left
        mask = np.zeros_like(labels, bool)
    if mask.mean() < _MIN_OBJECT_SHARE:
        mask = distance_to_edge >= _SEGMENT_SIZE // 5
    soft = cv2.GaussianBlur(cv2.dilate(mask.astype(np.float32), np.ones((3, 3))), (0, 0), 1.0)
    return np.asarray(cv2.resize(soft, image.shape[1::-1]), np.float32)


def _to_uint8(values: NDArray[np.floating]) -> Pixels:
    return np.clip(values, 0, 255).astype(np.uint8)
