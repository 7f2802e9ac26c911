"""Generates a synthetic stand-in for RealWaste with the same classes and layout, and several images of each object."""

from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path

import cv2
import numpy as np

from realwaste.core import machine
from realwaste.core.errors import UserError
from realwaste.sources.realwaste_files import COUNTS
from realwaste.sources.synthetic_shapes import SIDE, Array, CutOut, cut_out, field

CLASSES = tuple(COUNTS)
"""RealWaste's nine classes, in the order of their names."""
LONGEST_RUN = 4
"""The maximal number of consecutive images of one object."""

_JPEG_OPTIONS = (cv2.IMWRITE_JPEG_QUALITY, 90)
_FRAME = 262  # pixels along each side while drawing; half of RealWaste's 524, at a quarter of the cost
_SHADOW = np.array([[1.0, 0.0, 4.0], [0.0, 1.0, 5.0]])  # pixels to the right and down
_RESHOT_CHANCE = 0.55  # that the next file shows the same object; with runs cut at LONGEST_RUN, 0.50 of neighbours do

# The last number of a random stream's key: what it determines. Not 0, because NumPy pads keys with zeros.
_GROUPS, _OBJECT, _VIEW = 1, 2, 3


def object_numbers(seed: int, class_index: int, count: int) -> list[int]:
    """The number of the object in each of a class's first `count` files.

    Objects are numbered from 0 in file order. About half of neighboring files show the same object, in runs of at most
    LONGEST_RUN files. A larger count continues the list of a smaller one.
    """
    random = np.random.default_rng((seed, class_index, _GROUPS)).random(count) < _RESHOT_CHANCE
    objects, run = [0][:count], 1
    for value in random[1:]:
        run = run + 1 if value and run < LONGEST_RUN else 1
        objects.append(objects[-1] + (run == 1))
    return objects


def render(seed: int, class_index: int, object_number: int, shot_number: int) -> Array:
    """Render one image, (524, 524, 3) uint8 RGB, which depends only on the arguments.

    Seed, class and object determine the piece of waste, the clutter around it and the kind of background. The shot
    number determines how they are moved, rotated or flipped, the light, the background's detail and the camera noise.
    """
    object_rng = np.random.default_rng((seed, class_index, object_number, _OBJECT))
    shot_rng = np.random.default_rng((seed, class_index, object_number, shot_number, _VIEW))
    picture = _draw_background(object_rng, shot_rng)
    transform = _shot_transform(shot_rng)
    for piece, placement in _draw_pieces(object_rng, class_index):
        picture = _composite(picture, piece, transform @ np.vstack([placement, (0, 0, 1)]))
    return cv2.resize(_apply_camera(picture, shot_rng), (524, 524), interpolation=cv2.INTER_CUBIC)


def generate(target: Path, *, images_per_class: int, seed: int) -> int:
    """Write `target/<Class>/<Class>_<n>.jpg`, n from 1, 524x524, and return the number of images.

    The bytes of each file depend only on the seed, not on the number of images. Files of the same names are
    overwritten; other files in `target` stay.

    Raises:
        UserError: `images_per_class` is below 1.
    """
    if images_per_class < 1:
        rule = "The synthetic data set needs at least one image per class."
        raise UserError(rule, "Set images_per_class to 1 or more.", images_per_class)
    for name in CLASSES:
        (target / name).mkdir(parents=True, exist_ok=True)
    groups = [object_numbers(seed, index, images_per_class) for index in range(len(CLASSES))]

    def write(where: tuple[int, int]) -> None:
        index, number = where
        name, members = CLASSES[index], groups[index]
        picture = render(seed, index, members[number], number - members.index(members[number]))
        _, encoded = cv2.imencode(".jpg", picture[..., ::-1], _JPEG_OPTIONS)
        (target / name / f"{name}_{number + 1}.jpg").write_bytes(encoded.tobytes())

    with ThreadPoolExecutor(machine.available_cpus()) as pool:
        return len(list(pool.map(write, product(range(len(CLASSES)), range(images_per_class)))))


def _draw_background(object_rng: np.random.Generator, shot_rng: np.random.Generator) -> Array:
    """An empty conveyor belt, concrete or soil, (_FRAME, _FRAME, 3) float32."""
    tones = ((96, 94, 92), (128, 120, 108), (104, 84, 64), (70, 72, 76))
    tone = np.array(tones[object_rng.integers(len(tones))]) + object_rng.normal(0, 4, 3) + object_rng.normal(0, 8)
    pebbles = object_rng.uniform(0.02, 0.08)
    light = 1 + 0.08 * field(shot_rng, 5, _FRAME)
    light += pebbles * field(shot_rng, 70, _FRAME)
    light += 0.05 * field(shot_rng, 22, _FRAME)
    if object_rng.random() < 0.4:  # a belt's ribs
        ribs = np.sin(np.arange(_FRAME, dtype=np.float32) * object_rng.uniform(0.15, 0.4) + shot_rng.uniform(0, 6))
        light += 0.08 * (ribs > 0.8)[:, None]
    return (light[..., None] * tone).astype(np.float32)


def _draw_pieces(object_rng: np.random.Generator, class_index: int) -> list[tuple[CutOut, Array]]:
    """The pieces from the lowest to the highest, each with its `_placement`; a piece of clutter is on the main one."""
    clutter = []
    for _ in range(object_rng.integers(1, 5)):
        piece = cut_out(int(object_rng.integers(len(CLASSES))), object_rng)
        offset, scale, angle = object_rng.normal(0, 90, 2), object_rng.uniform(0.25, 0.5), object_rng.uniform(0, 360)
        clutter.append((piece, _placement(offset, scale, angle)))
    placement = _placement(object_rng.normal(0, 14, 2), object_rng.uniform(1.6, 2.2), object_rng.normal(0, 30))
    return [*clutter[1:], (cut_out(class_index, object_rng), placement), clutter[0]]


def _placement(offset: Array, scale: float, angle: float) -> Array:
    """The 2x3 matrix that takes a cut-out's pixels to the frame's; `offset` from the middle in pixels, degrees."""
    matrix: Array = cv2.getRotationMatrix2D((SIDE / 2, SIDE / 2), angle, scale)
    matrix[:, 2] += offset + (_FRAME - SIDE) / 2
    return matrix


def _shot_transform(shot_rng: np.random.Generator) -> Array:
    """The 2x3 matrix by which the whole scene differs from shot to shot: turned, shifted, every other time flipped."""
    matrix: Array = cv2.getRotationMatrix2D((_FRAME / 2, _FRAME / 2), shot_rng.normal(0, 8), 1.0)
    matrix[:, 2] += shot_rng.normal(0, 8, 2)
    if shot_rng.random() < 0.5:
        matrix[0] = (0, 0, _FRAME) - matrix[0]
    return matrix


def _composite(picture: Array, piece: CutOut, placement: Array) -> Array:
    """`picture` with the piece and its shadow on it."""
    rgb = cv2.warpAffine(piece.rgb, placement, (_FRAME, _FRAME))
    alpha = cv2.warpAffine(piece.alpha, placement, (_FRAME, _FRAME))
    shadow = cv2.blur(cv2.warpAffine(alpha, _SHADOW, (_FRAME, _FRAME)), (13, 13))
    visible = (1 - alpha) * (1 - 0.45 * shadow)
    return cv2.multiply(picture, cv2.merge([visible] * 3)) + cv2.multiply(rgb, cv2.merge([alpha] * 3))


def _apply_camera(picture: Array, shot_rng: np.random.Generator) -> Array:
    """The scene as a camera saw it, uint8: brightness, colour cast, light falling off to one side, noise."""
    gain = shot_rng.uniform(0.8, 1.15) * (1 + shot_rng.normal(0, 0.025, 3))
    slope = shot_rng.uniform(-0.18, 0.18, 2)
    axis = np.linspace(-1, 1, _FRAME)
    light = 1 + slope[0] * axis[:, None] + slope[1] * axis[None, :]
    noise = shot_rng.standard_normal((_FRAME, _FRAME), np.float32) * shot_rng.uniform(1, 4)
    lit = picture * (light[..., None] * gain).astype(np.float32) + noise[..., None].astype(np.float32)
    return np.clip(lit, 0, 255).astype(np.uint8)
