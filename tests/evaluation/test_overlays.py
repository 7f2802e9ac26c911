"""Heat over a picture: colour where the heat is, the picture itself where it is not."""

import cv2
import numpy as np
from conftest import picture

from realwaste.evaluation import overlays
from realwaste.images.reader import decode_image


def _spot(rows=8, columns=8, row=2, column=5):
    heat = np.zeros((rows, columns), np.float32)
    heat[row, column] = 1
    return heat


def test_without_heat_or_strength_the_picture_is_as_it_was():
    pixels = picture(1, 40, 60)
    np.testing.assert_array_equal(overlays.blend_heat(pixels, np.zeros((7, 7), np.float32)), pixels)
    np.testing.assert_array_equal(overlays.blend_heat(pixels, _spot(), strength=0), pixels)


def test_the_colour_lies_where_the_heat_is_and_nowhere_else():
    pixels = picture(2, 80, 160)
    before = pixels.copy()
    blended = overlays.blend_heat(pixels, _spot(row=2, column=5))
    np.testing.assert_array_equal(pixels, before)
    assert blended.dtype == np.uint8
    changed = np.abs(blended.astype(int) - pixels).sum(axis=2)
    row, column = np.unravel_index(changed.argmax(), changed.shape)
    assert 20 <= row < 30  # the third of eight rows
    assert 100 <= column < 120  # the sixth of eight columns
    assert changed[60:].max() == 0
    assert changed[:, :60].max() == 0


def test_full_heat_at_full_strength_is_the_map_s_last_colour():
    blended = overlays.blend_heat(picture(3), np.ones((4, 4), np.float32), strength=1)
    last = cv2.applyColorMap(np.full((1, 1), 255, np.uint8), cv2.COLORMAP_INFERNO)[0, 0, ::-1]
    assert last[0] > 200 > last[2], "red, green, blue: a light yellow"
    np.testing.assert_array_equal(blended, np.broadcast_to(last, blended.shape))


def test_more_heat_is_lighter_and_more_opaque():
    ramp = np.linspace(0, 1, 16, dtype=np.float32)[np.newaxis].repeat(4, axis=0)
    layer = overlays.heat_layer(ramp, 16, 64)
    assert layer.shape == (16, 64, 4)
    lightness = cv2.cvtColor(np.ascontiguousarray(layer[..., :3]), cv2.COLOR_RGB2LAB)[8, :, 0].astype(int)
    assert (np.diff(lightness) >= 0).all()
    assert (np.diff(layer[8, :, 3].astype(int)) >= 0).all()
    assert (layer[8, 0, 3], layer[8, -1, 3]) == (0, 255)


def test_one_pixel():
    assert overlays.blend_heat(picture(4, 1, 1), _spot()).shape == (1, 1, 3)
    assert overlays.blend_heat(picture(4, 30, 20), np.ones((1, 1), np.float32)).shape == (30, 20, 3)


def test_png_and_back(tmp_path):
    pixels = picture(5, 30, 20)
    np.testing.assert_array_equal(decode_image(overlays.encode_png(pixels)), pixels)
    layer = overlays.heat_layer(_spot(), 30, 20)
    decoded = cv2.imdecode(np.frombuffer(overlays.encode_png(layer), np.uint8), cv2.IMREAD_UNCHANGED)
    assert decoded is not None
    np.testing.assert_array_equal(cv2.cvtColor(decoded, cv2.COLOR_BGRA2RGBA), layer)
    overlays.write_png(tmp_path / "new/p.png", pixels)
    np.testing.assert_array_equal(decode_image((tmp_path / "new/p.png").read_bytes()), pixels)
