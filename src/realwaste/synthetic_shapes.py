"""What the pieces of synthetic waste look like: one drawing function a class, each giving a cut-out on a square canvas."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

SIDE = 160
"""Pixels along each side of a cut-out's canvas."""

Array = NDArray[Any]
Palette = Sequence[tuple[int, int, int]]

_HALF = SIDE / 2
_Y, _X = (np.mgrid[0:SIDE, 0:SIDE].astype(np.float32) - _HALF) / _HALF  # -1 at the top or left edge, 1 at the other

_BROWNS: Palette = [(176, 136, 92), (150, 112, 74), (196, 160, 118), (134, 104, 76)]
_FOODS: Palette = [(222, 122, 34), (188, 44, 36), (226, 190, 70), (120, 150, 52), (122, 76, 44), (214, 176, 130)]
_GLASSES: Palette = [(46, 104, 58), (112, 66, 26), (186, 208, 204), (96, 140, 104)]
_GREYS: Palette = [(170, 172, 176), (144, 146, 150), (192, 190, 186), (160, 150, 134)]
_PAINTS: Palette = [(184, 34, 38), (28, 74, 156), (34, 124, 70), (220, 170, 40), (226, 226, 222)]
_WHITES: Palette = [(232, 230, 224), (218, 218, 222), (240, 232, 208), (206, 188, 152)]
_PLASTICS: Palette = [
    (36, 98, 196),
    (206, 42, 52),
    (238, 196, 40),
    (40, 150, 92),
    (236, 236, 236),
    (30, 32, 38),
    (188, 210, 224),
]
_CLOTHS: Palette = [
    (58, 66, 110),
    (140, 52, 62),
    (112, 118, 92),
    (196, 180, 158),
    (66, 64, 66),
    (152, 104, 132),
    (92, 128, 150),
]
_LEAVES: Palette = [(78, 118, 44), (104, 138, 58), (54, 88, 40), (142, 132, 62), (126, 92, 52)]
_TWIGS: Palette = [(104, 78, 50), (84, 66, 48), (128, 104, 74)]


class CutOut(NamedTuple):
    """A piece of waste without its surroundings."""

    rgb: Array  # (SIDE, SIDE, 3) float32, 0 to 255
    alpha: Array  # (SIDE, SIDE) float32, 0 where nothing is, 1 where it hides what lies below


def field(rng: np.random.Generator, cells: int, side: int = SIDE) -> Array:
    """Smooth noise, (side, side) float32, about -1 to 1, that changes over 1/cells of the picture."""
    coarse = rng.uniform(-1, 1, (cells, cells)).astype(np.float32)
    return cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC)


def cut_out(class_index: int, rng: np.random.Generator) -> CutOut:
    """Draw one piece of the class at this place in `realwaste.synthetic.CLASSES`; `rng` settles everything about it."""
    rgb, alpha = _DRAW[class_index](rng)
    return CutOut(rgb.astype(np.float32), alpha.astype(np.float32))


def _colour(rng: np.random.Generator, palette: Palette, jitter: float = 9) -> Array:
    """An RGB colour near one of the palette's, (3,) float32."""
    chosen = np.array(palette[rng.integers(len(palette))])
    return np.clip(chosen + rng.normal(0, jitter, 3) + rng.normal(0, jitter), 8, 250).astype(np.float32)


def _outline(rng: np.random.Generator, corners: int, rough: float, aspect: float = 1.0) -> Array:
    """A closed polygon around the middle, (corners, 2) in -1 to 1; `rough` 0 is regular, 0.5 is ragged."""
    angle = (np.arange(corners) + rng.uniform(-0.4, 0.4, corners)) * 2 * np.pi / corners + rng.uniform(0, 2 * np.pi)
    radius = 0.85 * (1 - rough * rng.random(corners))
    return np.stack([radius * np.cos(angle), aspect * radius * np.sin(angle)], axis=1)


def _pixels(points: Array) -> Array:
    """Points in -1 to 1 as OpenCV wants them: (n, 1, 2) int32, in sixteenths of a pixel."""
    return np.round((np.asarray(points) + 1) * _HALF * 16).astype(np.int32).reshape(-1, 1, 2)


def _filled(points: Array) -> Array:
    """1 inside the polygon and 0 outside, (SIDE, SIDE) float32, with soft edges."""
    mask = np.zeros((SIDE, SIDE), np.uint8)
    cv2.fillPoly(mask, [_pixels(points)], 255, cv2.LINE_AA, 4)
    return mask.astype(np.float32) / 255


def _strokes(lines: Sequence[Array], width: int = 1) -> Array:
    """1 on the polylines and 0 elsewhere, (SIDE, SIDE) float32."""
    mask = np.zeros((SIDE, SIDE), np.uint8)
    cv2.polylines(mask, [_pixels(line) for line in lines], False, 255, width, cv2.LINE_AA, 4)
    return mask.astype(np.float32) / 255


def _plain(colour: Array, light: Array) -> Array:
    """A surface of one colour under `light`, (SIDE, SIDE) around 1; (SIDE, SIDE, 3)."""
    return light[..., None] * colour


def _tinted(rgb: Array, weight: Array, colour: Array | float) -> Array:
    """`rgb` with `colour` laid over it where `weight`, (SIDE, SIDE), is above 0."""
    return rgb + weight[..., None] * (colour - rgb)


def _over(below: CutOut, above: CutOut) -> CutOut:
    return CutOut(_tinted(below.rgb, above.alpha, above.rgb), np.maximum(below.alpha, above.alpha))


def _facets(rng: np.random.Generator, creases: int) -> Array:
    """Flat faces that meet in creases, as in crumpled paper or foil; about -1 to 1."""
    total = np.zeros((SIDE, SIDE), np.float32)
    for angle, offset, slope in rng.uniform((0, -0.6, -1), (2 * np.pi, 0.6, 1), (creases, 3)).astype(np.float32):
        beyond = _X * np.cos(angle) + _Y * np.sin(angle) - offset
        total += slope * (0.5 * np.abs(beyond) + 0.6 * (beyond > 0))
    total -= total.mean()
    return total / np.abs(total).max()


def _profile(rng: np.random.Generator) -> tuple[Array, float]:
    """A bottle's or jar's outline, (12, 2), and its body's half width, standing upright."""
    width, neck = rng.uniform(0.26, 0.46), rng.uniform(0.09, 0.24)
    shoulder, collar = rng.uniform(-0.45, -0.1), rng.uniform(-0.65, -0.5)
    right = [
        (neck, -0.92),
        (neck, collar),
        (width * 0.8, shoulder - 0.08),
        (width, shoulder),
        (width, 0.86),
        (width * 0.85, 0.93),
    ]
    return np.array(right + [(-x, y) for x, y in reversed(right)]), width


def _cardboard(rng: np.random.Generator) -> CutOut:
    colour = _colour(rng, _BROWNS)
    light = 1 + 0.08 * field(rng, 5)
    if rng.random() < 0.5:  # a box seen from a corner
        a, b, c = rng.uniform((-0.9, 0.5, 0.4), (-0.6, 0.9, 0.8))
        top, left = rng.uniform(-0.35, 0.0, 2)
        corner = np.array([rng.uniform(-0.2, 0.2), top])
        faces = [
            np.array([corner, corner + (a, left), corner + (a, left + c), corner + (0, c)]),
            np.array([corner, corner + (b, left), corner + (b, left + c), corner + (0, c)]),
            np.array([corner, corner + (a, left), corner + (a + b, 2 * left), corner + (b, left)]),
        ]
    else:  # flattened sheets
        faces = [_outline(rng, 4, 0.25, rng.uniform(0.6, 1)), _outline(rng, 5, 0.4) * 0.7]
    alpha = np.zeros((SIDE, SIDE), np.float32)
    for face, shade in zip(faces, (0.78, 1.0, 1.18), strict=False):
        inside = _filled(face)
        light = light * (1 - inside) + inside * shade * (1 + 0.08 * field(rng, 5))
        alpha = np.maximum(alpha, inside)
    angle, pitch = rng.uniform(0, np.pi), rng.uniform(28, 50)
    corrugation = np.sin(pitch * (_X * np.cos(angle) + _Y * np.sin(angle)))
    rgb = _plain(colour, light * (1 + 0.09 * corrugation * (field(rng, 3) > -0.2)))
    rgb = _tinted(rgb, 0.6 * _strokes([np.vstack([f, f[:1]]) for f in faces], 2), colour * 0.5)
    fold = rng.uniform(-0.7, 0.7, (2, 2, 2))
    rgb = _tinted(rgb, 0.5 * _strokes(list(fold), 2), colour * 0.55)
    if rng.random() < 0.5:
        rgb = _tinted(
            rgb, 0.6 * _strokes([rng.uniform(-0.8, 0.8, (2, 2))], 11), _colour(rng, [(206, 184, 140), (224, 220, 206)])
        )
    return CutOut(rgb, alpha)


def _food(rng: np.random.Generator) -> CutOut:
    hues = [_colour(rng, _FOODS, 12) for _ in range(rng.integers(2, 5))]
    rgb = np.zeros((SIDE, SIDE, 3), np.uint8)
    mask = np.zeros((SIDE, SIDE), np.uint8)
    for _ in range(rng.integers(9, 22)):
        x, y = np.clip(rng.normal(0, 0.34, 2), -0.7, 0.7)
        large, small = np.sort(rng.uniform(0.08, 0.3, 2))[::-1]
        hue, turn = hues[rng.integers(len(hues))] * rng.uniform(0.7, 1.1), rng.uniform(0, 180)
        for shrink, gain, shift in ((1.0, 0.72, 0.0), (0.8, 1.0, -0.02), (0.3, 1.3, -0.06)):
            centre = tuple(int(v) for v in np.round((np.array([x + shift, y + shift]) + 1) * _HALF))
            axes = (int(large * shrink * _HALF) + 1, int(small * shrink * _HALF) + 1)
            tone = tuple(float(v) for v in np.minimum(hue * gain, 255))
            cv2.ellipse(rgb, centre, axes, turn, 0, 360, tone, -1, cv2.LINE_AA)
            cv2.ellipse(mask, centre, axes, turn, 0, 360, 255, -1, cv2.LINE_AA)
    mottled = 1 + 0.14 * field(rng, 28) + 0.08 * field(rng, 9)
    return CutOut(rgb * mottled[..., None], mask.astype(np.float32) / 255)


def _glass(rng: np.random.Generator) -> CutOut:
    points, width = _profile(rng)
    inside = _filled(points)
    colour = _colour(rng, _GLASSES)
    across = np.clip(np.abs(_X) / width, 0, 1)
    rgb = _plain(colour, 1.15 - 0.65 * across**3 + 0.1 * field(rng, 4))
    for _ in range(2):  # narrow reflections along the body
        streak = np.exp(-(((_X / width - rng.uniform(-0.7, 0.7)) / rng.uniform(0.05, 0.12)) ** 2))
        rgb = _tinted(rgb, rng.uniform(0.5, 0.9) * streak * (field(rng, 4) > -0.3), 245)
    if rng.random() < 0.35:
        label = (np.abs(_Y - rng.uniform(0.2, 0.5)) < rng.uniform(0.12, 0.28)).astype(np.float32)
        rgb = _tinted(rgb, 0.85 * label, _colour(rng, list(_PAINTS) + list(_WHITES), 20))
    see_through = rng.uniform(0.45, 0.7)
    alpha = np.clip(see_through + 0.5 * across**4 + 0.35 * (rgb.min(axis=2) > 200), 0, 0.97)
    if rng.random() < 0.3:  # a broken one
        inside = inside * _filled(_outline(rng, 9, 0.5))
    return CutOut(rgb, inside * alpha)


def _metal(rng: np.random.Generator) -> CutOut:
    grey = _colour(rng, _GREYS, 5)
    if rng.random() < 0.35:  # foil or a crushed sheet
        rgb = _plain(grey, 1 + 0.55 * _facets(rng, 12) + 0.15 * field(rng, 16))
        return CutOut(_tinted(rgb, 0.7 * (field(rng, 14) > 0.62), 250), _filled(_outline(rng, 11, 0.4)))
    width, top, bottom = rng.uniform(0.34, 0.6), rng.uniform(-0.85, -0.5), rng.uniform(0.4, 0.8)
    lid = np.stack(
        [np.cos(np.linspace(0, 2 * np.pi, 24)) * width, np.sin(np.linspace(0, 2 * np.pi, 24)) * width * 0.3], 1
    )
    body = np.maximum(
        _filled(np.array([(-width, top), (width, top), (width, bottom), (-width, bottom)])), _filled(lid + (0, bottom))
    )
    across = _X / width
    shine = (
        0.65
        + 0.75 * np.exp(-(((across + rng.uniform(0.1, 0.5)) / 0.2) ** 2))
        + 0.3 * np.exp(-(((across - 0.6) / 0.15) ** 2))
    )
    rgb = _plain(grey, shine + rng.uniform(0.0, 0.3) * _facets(rng, 6))
    if rng.random() < 0.4:
        print_ = ((_Y > top + 0.22) & (_Y < bottom - 0.1)).astype(np.float32)
        rgb = _tinted(rgb, 0.8 * print_, _plain(_colour(rng, _PAINTS), shine))
    rings = 0.5 * (np.sin(_Y * rng.uniform(20, 40)) > 0.75) * (_Y > top + 0.15)
    rgb = _tinted(rgb, rings.astype(np.float32), rgb * 0.6)
    rgb = _tinted(rgb, _filled(lid + (0, top)), grey * 1.15)
    rgb = _tinted(rgb, 0.9 * _strokes([lid + (0, top), lid * 0.8 + (0, top)], 2), grey * 0.6)
    return CutOut(rgb, np.maximum(body, _filled(lid + (0, top))))


def _paper(rng: np.random.Generator) -> CutOut:
    colour = _colour(rng, _WHITES, 5)
    crumpled = rng.uniform(0.08, 0.4)
    rgb = _plain(colour, 1 - 0.05 + crumpled * _facets(rng, 10) + 0.04 * field(rng, 10))
    aspect = rng.uniform(0.6, 1.0)
    if rng.random() < 0.8:
        rows = np.arange(-0.7, 0.7, rng.uniform(0.07, 0.13)) * aspect
        left, ends = rng.uniform(-0.62, -0.4), rng.uniform(0.0, 0.6, len(rows))
        bend = rng.uniform(-0.06, 0.06)
        lines = [
            np.array([(left, y), ((left + end) / 2, y + bend), (end, y)]) for y, end in zip(rows, ends, strict=True)
        ]
        ink = _strokes(lines, int(rng.integers(1, 3))) * (np.sin(_X * rng.uniform(50, 80)) > -0.6)
        rgb = _tinted(rgb, 0.65 * ink, _colour(rng, [(50, 50, 60), (90, 60, 60), (60, 70, 120)]))
    if rng.random() < 0.35:  # a picture or a logo
        rgb = _tinted(
            rgb, 0.7 * _filled(_outline(rng, 4, 0.1) * 0.3 + rng.uniform(-0.3, 0.3, 2)), _colour(rng, _PAINTS, 30)
        )
    corners = 4 if rng.random() < 0.6 else 9
    return CutOut(rgb, _filled(_outline(rng, corners, 0.18 if corners == 4 else 0.35, aspect)))


def _plastic(rng: np.random.Generator) -> CutOut:
    colour = _colour(rng, _PLASTICS, 10)
    if rng.random() < 0.5:  # a bottle with a cap
        points, width = _profile(rng)
        inside, across = _filled(points), _X / width
        shine = 0.8 + 0.35 * np.exp(-(((across + 0.35) / 0.3) ** 2)) + 0.06 * np.sin(_Y * rng.uniform(10, 30))
        cap = (_Y < rng.uniform(-0.78, -0.68)).astype(np.float32)
        rgb = _tinted(_plain(colour, shine), cap, _plain(_colour(rng, _PLASTICS), shine))
        label = (np.abs(_Y - rng.uniform(0.1, 0.4)) < rng.uniform(0.1, 0.3)) * (rng.random() < 0.6)
        rgb = _tinted(rgb, 0.9 * label.astype(np.float32), _plain(_colour(rng, _PAINTS, 20), shine))
        opacity = rng.uniform(0.7, 1.0)
    else:  # a bag or a film
        inside = _filled(_outline(rng, 14, 0.35))
        rgb = _plain(colour, 0.95 + 0.28 * field(rng, 6) + 0.18 * _facets(rng, 5))
        opacity = rng.uniform(0.7, 1.0)
    wet = field(rng, int(rng.integers(10, 18)))
    return CutOut(_tinted(rgb, 0.85 * np.clip((wet - 0.6) * 5, 0, 1), 252), inside * opacity)


def _textile(rng: np.random.Generator) -> CutOut:
    ground, second = _colour(rng, _CLOTHS, 10), _colour(rng, _CLOTHS, 16)
    drape = 0.12 * field(rng, 4)
    u, v = _X + drape, _Y + 0.12 * field(rng, 4)
    pitch, share = rng.uniform(8, 26), rng.uniform(-0.5, 0.6)
    stripes = (np.sin(u * pitch) > share).astype(np.float32)
    kind = rng.integers(3)
    pattern = (stripes, (stripes + (np.sin(v * pitch) > share)) / 2, np.zeros_like(stripes))[kind]
    rgb = _tinted(np.broadcast_to(ground, (SIDE, SIDE, 3)), pattern.astype(np.float32), second)
    weave = np.sin(u * 110) * np.sin(v * 110)
    folds = 0.26 * np.sin(rng.uniform(5, 10) * (u + rng.uniform(-1, 1) * v) + 3 * field(rng, 3))
    outline = _outline(rng, 20, 0.25, rng.uniform(0.65, 1))
    alpha = cv2.GaussianBlur(_filled(outline), (0, 0), 1.5)
    return CutOut(rgb * (0.95 + folds + 0.12 * weave)[..., None], alpha)


def _vegetation(rng: np.random.Generator) -> CutOut:
    hues = [_colour(rng, _LEAVES, 9) for _ in range(3)]
    rgb = np.zeros((SIDE, SIDE, 3), np.uint8)
    mask = np.zeros((SIDE, SIDE), np.uint8)
    along = np.linspace(-1, 1, 21)
    slim = rng.uniform(0.08, 0.4)
    leaf = np.concatenate(
        [np.stack([along, slim * (1 - along**2)], 1), np.stack([along[::-1], -slim * (1 - along**2)], 1)]
    )
    for _ in range(rng.integers(3, 6)):
        twig = np.cumsum(np.vstack([rng.uniform(-0.6, 0.6, 2), rng.normal(0, 0.22, (4, 2))]), axis=0)
        wood = _colour(rng, _TWIGS).tolist()
        for canvas, tone in ((rgb, wood), (mask, 255)):
            cv2.polylines(canvas, [_pixels(twig)], False, tone, 3, cv2.LINE_AA, 4)
        for x, y in np.repeat(twig, int(rng.integers(1, 5)), axis=0) + rng.normal(0, 0.1, (1, 2)):
            angle, long = rng.uniform(0, 2 * np.pi), rng.uniform(0.12, 0.34)
            turn = long * np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
            tone = hues[rng.integers(3)] * rng.uniform(0.7, 1.2)
            placed = np.clip(leaf @ turn + (x, y), -0.98, 0.98)
            cv2.fillPoly(rgb, [_pixels(placed)], np.minimum(tone, 255).tolist(), cv2.LINE_AA, 4)
            cv2.fillPoly(mask, [_pixels(placed)], 255, cv2.LINE_AA, 4)
            cv2.polylines(rgb, [_pixels(placed[[0, 20]])], False, (tone * 0.7).tolist(), 1, cv2.LINE_AA, 4)
    return CutOut(rgb * (1 + 0.15 * field(rng, 20))[..., None], mask.astype(np.float32) / 255)


def _miscellaneous(rng: np.random.Generator) -> CutOut:
    others = [draw for draw in _DRAW if draw is not _miscellaneous]
    pile = CutOut(np.zeros((SIDE, SIDE, 3), np.float32), np.zeros((SIDE, SIDE), np.float32))
    for _ in range(rng.integers(4, 7)):
        piece = others[rng.integers(len(others))](rng)
        x, y = rng.normal(0, 0.35 * _HALF, 2)
        matrix = cv2.getRotationMatrix2D((_HALF, _HALF), rng.uniform(0, 360), rng.uniform(0.4, 0.75))
        matrix[:, 2] += (x, y)
        torn = piece.alpha * _filled(_outline(rng, 7, 0.5))
        rgb = cv2.warpAffine(piece.rgb.astype(np.float32), matrix, (SIDE, SIDE))
        pile = _over(pile, CutOut(rgb, cv2.warpAffine(torn.astype(np.float32), matrix, (SIDE, SIDE))))
    return pile


_DRAW: tuple[Callable[[np.random.Generator], CutOut], ...] = (
    _cardboard,
    _food,
    _glass,
    _metal,
    _miscellaneous,
    _paper,
    _plastic,
    _textile,
    _vegetation,
)
