"""Overlays: a heat map blended over a picture."""

import cv2
import numpy as np
from conftest import picture

from realwaste.evaluation import overlays
from realwaste.images.reader import decode_image


def _heat_with_one_spot(rows=8, columns=8, row=2, column=5):
    heat = np.zeros((rows, columns), np.float32)
    heat[row, column] = 1
    return heat


def test_without_heat_or_strength_the_picture_does_not_change():
    pixels = picture(1, 40, 60)
    np.testing.assert_array_equal(overlays.blend_heat(pixels, np.zeros((7, 7), np.float32)), pixels)
    np.testing.assert_array_equal(overlays.blend_heat(pixels, _heat_with_one_spot(), strength=0), pixels)


def test_only_pixels_with_heat_change():
    pixels = picture(2, 80, 160)
    original = pixels.copy()
    blended = overlays.blend_heat(pixels, _heat_with_one_spot(row=2, column=5))
    np.testing.assert_array_equal(pixels, original)
    assert blended.dtype == np.uint8
    changed = np.abs(blended.astype(int) - pixels).sum(axis=2)
    row, column = np.unravel_index(changed.argmax(), changed.shape)
    assert 20 <= row < 30  # the third of eight rows
    assert 100 <= column < 120  # the sixth of eight columns
    assert changed[60:].max() == 0
    assert changed[:, :60].max() == 0


def test_full_heat_at_full_strength_gives_the_last_colour_of_the_colour_map():
    blended = overlays.blend_heat(picture(3), np.ones((4, 4), np.float32), strength=1)
    last_colour = cv2.applyColorMap(np.full((1, 1), 255, np.uint8), cv2.COLORMAP_INFERNO)[0, 0, ::-1]
    assert last_colour[0] > 200 > last_colour[2], "red, green, blue: a light yellow"
    np.testing.assert_array_equal(blended, np.broadcast_to(last_colour, blended.shape))


def test_lightness_and_opacity_increase_with_heat():
    ramp = np.linspace(0, 1, 16, dtype=np.float32)[np.newaxis].repeat(4, axis=0)
    layer = overlays.heat_layer(ramp, 16, 64)
    assert layer.shape == (16, 64, 4)
    lightness = cv2.cvtColor(np.ascontiguousarray(layer[..., :3]), cv2.COLOR_RGB2LAB)[8, :, 0].astype(int)
    assert (np.diff(lightness) >= 0).all()
    assert (np.diff(layer[8, :, 3].astype(int)) >= 0).all()
    assert (layer[8, 0, 3], layer[8, -1, 3]) == (0, 255)


def test_a_picture_or_heat_map_of_one_pixel_is_blended():
    assert overlays.blend_heat(picture(4, 1, 1), _heat_with_one_spot()).shape == (1, 1, 3)
    assert overlays.blend_heat(picture(4, 30, 20), np.ones((1, 1), np.float32)).shape == (30, 20, 3)


def test_png_encoding_is_lossless(tmp_path):
    pixels = picture(5, 30, 20)
    np.testing.assert_array_equal(decode_image(overlays.encode_png(pixels)), pixels)
    layer = overlays.heat_layer(_heat_with_one_spot(), 30, 20)
    decoded = cv2.imdecode(np.frombuffer(overlays.encode_png(layer), np.uint8), cv2.IMREAD_UNCHANGED)
    assert decoded is not None
    np.testing.assert_array_equal(cv2.cvtColor(decoded, cv2.COLOR_BGRA2RGBA), layer)
    overlays.write_png(tmp_path / "new/p.png", pixels)
    np.testing.assert_array_equal(decode_image((tmp_path / "new/p.png").read_bytes()), pixels)
