"""Long, a drawing function for each class: what the pieces of synthetic waste look like, as cut-outs on a canvas."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

SIDE = 160
"""Pixels along each side of a cut-out's canvas."""

Array = NDArray[Any]

_HALF = SIDE / 2
_Y, _X = (np.mgrid[0:SIDE, 0:SIDE].astype(np.float32) - _HALF) / _HALF  # -1 at the top or left edge, 1 at the other

# Palettes: RGB colours one after the other. They overlap on purpose: white paper and plastic, green glass and leaves.
_BROWNS = bytes.fromhex("b0885c 96704a c4a076 86684c")
_TAPES = bytes.fromhex("ceb88c e0dcce")
_FOODS = bytes.fromhex("de7a22 bc2c24 e2be46 789634 7a4c2c d6b082")
_GLASSES = bytes.fromhex("2e683a 70421a bad0cc 608c68")
_GREYS = bytes.fromhex("aaacb0 909296 c0beba a09686")
_PAINTS = bytes.fromhex("b82226 1c4a9c 227c46 dcaa28 e2e2de")
_WHITES = bytes.fromhex("e8e6e0 dadade f0e8d0 cebc98")
_INKS = bytes.fromhex("32323c 5a3c3c 3c4678")
_PLASTICS = bytes.fromhex("2462c4 1878d6 4696e2 ce2a34 28965c ececec bcd2e0")
_CLOTHS = bytes.fromhex("3a426e 8c343e 34303c 986884 62487c 5c8096 b4a088")
_LEAVES = bytes.fromhex("4e762c 688a3a 365828 8e843e 7e5c34")
_TWIGS = bytes.fromhex("684e32 544230 80684a")


class CutOut(NamedTuple):
    """A piece of waste without its surroundings."""

    rgb: Array  # (SIDE, SIDE, 3) float32, 0 to 255
    alpha: Array  # (SIDE, SIDE) float32, 0 where nothing is, 1 where it hides what lies below


def field(rng: np.random.Generator, cells: int, side: int = SIDE) -> Array:
    """Smooth noise, (side, side) float32, about -1 to 1, that changes over 1/cells of the picture."""
    coarse = rng.uniform(-1, 1, (cells, cells)).astype(np.float32)
    return cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC)


def cut_out(class_index: int, rng: np.random.Generator) -> CutOut:
    """Draw one piece of the class at this place in `synthetic.CLASSES`; `rng` settles everything about it."""
    rgb, alpha = _DRAW[class_index](rng)
    return CutOut(rgb.astype(np.float32), alpha.astype(np.float32))


def _colour(rng: np.random.Generator, palette: bytes, jitter: float = 9) -> Array:
    """An RGB colour near one of the palette's, (3,) float32."""
    base_colour = rng.choice(np.frombuffer(palette, np.uint8).reshape(-1, 3))
    return np.clip(base_colour + rng.normal(0, jitter, 3) + rng.normal(0, jitter), 8, 250).astype(np.float32)


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


def _strokes(lines: Iterable[Array], width: int = 1) -> Array:
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


def _streak(across: Array, middle: float, width: float) -> Array:
    """A bright line, 1 in its middle, along the body of something round; `across` is -1 and 1 at the body's sides."""
    return np.asarray(np.exp(-(((across - middle) / width) ** 2)))


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
    x = np.array([neck, neck, width * 0.8, width, width, width * 0.85])
    y = np.array([-0.92, collar, shoulder - 0.08, shoulder, 0.86, 0.93])
    return np.stack([np.append(x, -x[::-1]), np.append(y, y[::-1])], axis=1), width


def _cardboard(rng: np.random.Generator) -> CutOut:
    colour = _colour(rng, _BROWNS)
    light = 1 + 0.08 * field(rng, 5)
    if rng.random() < 0.5:  # a box seen from a corner
        a, b, c = rng.uniform((-0.9, 0.5, 0.4), (-0.6, 0.9, 0.8))
        top, left = rng.uniform(-0.35, 0.0, 2)
        corner = np.array([rng.uniform(-0.2, 0.2), top])
        sides = [[(0, 0), (side, left), (side, left + c), (0, c)] for side in (a, b)]
        faces = [corner + face for face in (*sides, [(0, 0), (a, left), (a + b, 2 * left), (b, left)])]
    else:  # flattened sheets
        faces = [_outline(rng, 4, 0.25, rng.uniform(0.6, 1)), _outline(rng, 5, 0.4) * 0.7]
    masks = [_filled(face) for face in faces]
    for inside, shade in zip(masks, (0.78, 1.0, 1.18), strict=False):
        light = light * (1 - inside) + inside * shade * (1 + 0.08 * field(rng, 5))
    angle, pitch = rng.uniform(0, np.pi), rng.uniform(28, 50)
    corrugation = np.sin(pitch * (_X * np.cos(angle) + _Y * np.sin(angle)))
    rgb = _plain(colour, light * (1 + 0.09 * corrugation * (field(rng, 3) > -0.2)))
    rgb = _tinted(rgb, 0.6 * _strokes([np.vstack([f, f[:1]]) for f in faces], 2), colour * 0.5)
    folds = rng.uniform(-0.7, 0.7, (2, 2, 2))
    rgb = _tinted(rgb, 0.5 * _strokes(folds, 2), colour * 0.55)
    if rng.random() < 0.5:
        tape = _strokes(rng.uniform(-0.8, 0.8, (1, 2, 2)), 11)
        rgb = _tinted(rgb, 0.6 * tape, _colour(rng, _TAPES))
    return CutOut(rgb, np.max(masks, axis=0))


def _food(rng: np.random.Generator) -> CutOut:
    hues = [_colour(rng, _FOODS, 12) for _ in range(rng.integers(2, 5))]
    rgba = np.zeros((SIDE, SIDE, 4), np.uint8)
    for _ in range(rng.integers(9, 22)):
        x, y = np.clip(rng.normal(0, 0.34, 2), -0.7, 0.7)
        large, small = np.sort(rng.uniform(0.08, 0.3, 2))[::-1]
        hue, turn = hues[rng.integers(len(hues))] * rng.uniform(0.7, 1.1), rng.uniform(0, 180)
        for shrink, gain, shift in ((1.0, 0.72, 0.0), (0.8, 1.0, -0.02), (0.3, 1.3, -0.06)):
            centre = tuple(int(v) for v in np.round((np.array([x + shift, y + shift]) + 1) * _HALF))
            axes = (int(large * shrink * _HALF) + 1, int(small * shrink * _HALF) + 1)
            tone = (*np.minimum(hue * gain, 255).tolist(), 255)
            cv2.ellipse(rgba, centre, axes, turn, 0, 360, tone, -1, cv2.LINE_AA)
    mottled = 1 + 0.14 * field(rng, 28) + 0.08 * field(rng, 9)
    return CutOut(rgba[..., :3] * mottled[..., None], rgba[..., 3].astype(np.float32) / 255)


def _glass(rng: np.random.Generator) -> CutOut:
    points, width = _profile(rng)
    inside = _filled(points)
    colour = _colour(rng, _GLASSES)
    across = np.clip(np.abs(_X) / width, 0, 1)
    rgb = _plain(colour, 1.15 - 0.65 * across**3 + 0.1 * field(rng, 4))
    for _ in range(2):  # narrow reflections along the body
        streak = _streak(_X / width, rng.uniform(-0.7, 0.7), rng.uniform(0.05, 0.12))
        rgb = _tinted(rgb, rng.uniform(0.5, 0.9) * streak * (field(rng, 4) > -0.3), 245)
    if rng.random() < 0.35:
        label = (np.abs(_Y - rng.uniform(0.2, 0.5)) < rng.uniform(0.12, 0.28)).astype(np.float32)
        rgb = _tinted(rgb, 0.85 * label, _colour(rng, _PAINTS + _WHITES, 20))
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
    around = np.linspace(0, 2 * np.pi, 24)
    lid = np.stack([np.cos(around) * width, np.sin(around) * width * 0.3], axis=1)
    sides = np.array([(-width, top), (width, top), (width, bottom), (-width, bottom)])
    body = np.maximum(_filled(sides), _filled(lid + (0, bottom)))
    across = _X / width
    shine = 0.65 + 0.75 * _streak(across, -rng.uniform(0.1, 0.5), 0.2) + 0.3 * _streak(across, 0.6, 0.15)
    rgb = _plain(grey, shine + rng.uniform(0.0, 0.3) * _facets(rng, 6))
    if rng.random() < 0.4:
        print_ = ((top + 0.22 < _Y) & (bottom - 0.1 > _Y)).astype(np.float32)
        rgb = _tinted(rgb, 0.8 * print_, _plain(_colour(rng, _PAINTS), shine))
    rings = 0.5 * (np.sin(_Y * rng.uniform(20, 40)) > 0.75) * (top + 0.15 < _Y)
    rgb = _tinted(rgb, rings.astype(np.float32), rgb * 0.6)
    rgb = _tinted(rgb, _filled(lid + (0, top)), grey * 1.15)
    rgb = _tinted(rgb, 0.9 * _strokes([lid + (0, top), lid * 0.8 + (0, top)], 2), grey * 0.6)
    return CutOut(rgb, np.maximum(body, _filled(lid + (0, top))))


def _paper(rng: np.random.Generator) -> CutOut:
    colour = _colour(rng, _WHITES, 5)
    crumpled = rng.uniform(0.08, 0.4)
    rgb = _plain(colour, 0.95 + crumpled * _facets(rng, 10) + 0.04 * field(rng, 10))
    aspect = rng.uniform(0.6, 1.0)
    if rng.random() < 0.8:
        rows = np.arange(-0.7, 0.7, rng.uniform(0.07, 0.13)) * aspect
        left_edge, line_ends = rng.uniform(-0.62, -0.4), rng.uniform(0.0, 0.6, len(rows))
        bend = rng.uniform(-0.06, 0.06)
        lines = [
            np.array([(left_edge, y), ((left_edge + x) / 2, y + bend), (x, y)])
            for x, y in zip(line_ends, rows, strict=True)
        ]
        ink = _strokes(lines, int(rng.integers(1, 3))) * (np.sin(_X * rng.uniform(50, 80)) > -0.6)
        rgb = _tinted(rgb, 0.65 * ink, _colour(rng, _INKS))
    if rng.random() < 0.35:  # a picture or a logo
        logo = _filled(_outline(rng, 4, 0.1) * 0.3 + rng.uniform(-0.3, 0.3, 2))
        rgb = _tinted(rgb, 0.7 * logo, _colour(rng, _PAINTS, 30))
    corners = 4 if rng.random() < 0.6 else 9
    return CutOut(rgb, _filled(_outline(rng, corners, 0.18 if corners == 4 else 0.35, aspect)))


def _plastic(rng: np.random.Generator) -> CutOut:
    colour = _colour(rng, _PLASTICS, 10)
    if rng.random() < 0.5:  # a bottle with a cap
        points, width = _profile(rng)
        inside, across = _filled(points), _X / width
        shine = 0.8 + 0.35 * _streak(across, -0.35, 0.3) + 0.06 * np.sin(_Y * rng.uniform(10, 30))
        cap = (rng.uniform(-0.78, -0.68) > _Y).astype(np.float32)
        rgb = _tinted(_plain(colour, shine), cap, _plain(_colour(rng, _PLASTICS), shine))
        label = (np.abs(_Y - rng.uniform(0.1, 0.4)) < rng.uniform(0.1, 0.3)) * (rng.random() < 0.6)
        rgb = _tinted(rgb, 0.9 * label.astype(np.float32), _plain(_colour(rng, _PAINTS, 20), shine))
    else:  # a bag or a film
        inside = _filled(_outline(rng, 14, 0.35))
        rgb = _plain(colour, 0.95 + 0.28 * field(rng, 6) + 0.18 * _facets(rng, 5))
    opacity = rng.uniform(0.7, 1.0)
    wet = field(rng, int(rng.integers(10, 18)))
    return CutOut(_tinted(rgb, 0.85 * np.clip((wet - 0.6) * 5, 0, 1), 252), inside * opacity)


def _textile(rng: np.random.Generator) -> CutOut:
    ground, second = _colour(rng, _CLOTHS, 10), _colour(rng, _CLOTHS, 16)
    u, v = _X + 0.12 * field(rng, 4), _Y + 0.12 * field(rng, 4)
    pitch, share = rng.uniform(8, 26), rng.uniform(-0.5, 0.6)
    stripes = (np.sin(u * pitch) > share).astype(np.float32)
    plaid = (stripes + (np.sin(v * pitch) > share)) / 2
    pattern = (stripes, plaid, np.zeros_like(stripes))[rng.integers(3)]
    rgb = _tinted(np.broadcast_to(ground, (SIDE, SIDE, 3)), pattern.astype(np.float32), second)
    weave = np.sin(u * 110) * np.sin(v * 110)
    folds = 0.26 * np.sin(rng.uniform(5, 10) * (u + rng.uniform(-1, 1) * v) + 3 * field(rng, 3))
    alpha = cv2.GaussianBlur(_filled(_outline(rng, 20, 0.25, rng.uniform(0.65, 1))), (0, 0), 1.5)
    return CutOut(rgb * (0.95 + folds + 0.12 * weave)[..., None], alpha)


def _vegetation(rng: np.random.Generator) -> CutOut:
    hues = [_colour(rng, _LEAVES, 9) for _ in range(3)]
    rgb, mask = np.zeros((SIDE, SIDE, 3), np.uint8), np.zeros((SIDE, SIDE), np.uint8)
    along = np.linspace(-1, 1, 21)
    slim = rng.uniform(0.08, 0.4)
    edge = np.stack([along, slim * (1 - along**2)], axis=1)
    leaf = np.concatenate([edge, -edge])
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
            for canvas, fill in ((rgb, np.minimum(tone, 255).tolist()), (mask, 255)):
                cv2.fillPoly(canvas, [_pixels(placed)], fill, cv2.LINE_AA, 4)
            cv2.polylines(rgb, [_pixels(placed[[0, 20]])], False, (tone * 0.7).tolist(), 1, cv2.LINE_AA, 4)
    return CutOut(rgb * (1 + 0.15 * field(rng, 20))[..., None], mask.astype(np.float32) / 255)


def _miscellaneous(rng: np.random.Generator) -> CutOut:
    single_shapes = [draw for draw in _DRAW if draw is not _miscellaneous]
    pile, pile_alpha = np.zeros((SIDE, SIDE, 3), np.float32), np.zeros((SIDE, SIDE), np.float32)
    for _ in range(rng.integers(4, 7)):
        piece = single_shapes[rng.integers(len(single_shapes))](rng)
        x, y = rng.normal(0, 0.35 * _HALF, 2)
        matrix = cv2.getRotationMatrix2D((_HALF, _HALF), rng.uniform(0, 360), rng.uniform(0.4, 0.75))
        matrix[:, 2] += (x, y)
        torn = piece.alpha * _filled(_outline(rng, 7, 0.5))
        rgb, alpha = (cv2.warpAffine(a.astype(np.float32), matrix, (SIDE, SIDE)) for a in (piece.rgb, torn))
        pile, pile_alpha = _tinted(pile, alpha, rgb), np.maximum(pile_alpha, alpha)
    return CutOut(pile, pile_alpha)


# In the order of `synthetic.CLASSES`.
_DRAW = (_cardboard, _food, _glass, _metal, _miscellaneous, _paper, _plastic, _textile, _vegetation)
