"""The image reader: formats, orientation, transparency, damaged files, batches."""

import contextlib
import os
import random
import struct
from pathlib import Path

import cv2
import numpy as np
import pillow_heif
import pytest
from conftest import picture
from images.encoding import encode, exif_with_orientation
from PIL import Image

from realwaste.images.reader import (
    UnreadableImageError,
    decode_image,
    prefetch_batches,
    read_image,
    read_images,
    resize_image,
)

JPEG = cv2.imencode(".jpg", picture(4))[1].tobytes()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty file"),
        (b"these are words", "not an image"),
        (b"<html>not found</html>", "not an image"),
        (JPEG[:-40], "truncated JPEG"),
        (JPEG[:200], "truncated JPEG"),
    ],
)
def test_an_incomplete_image_or_other_file_is_refused_with_a_reason(data, reason):
    with pytest.raises(UnreadableImageError, match=reason):
        decode_image(data)


@pytest.mark.parametrize(
    ("pixels", "reason"),
    [
        (np.ones((8, 8, 3), np.float32), "a TIFF of 32-bit floats: save it with 8 or 16 bits a channel"),
        (np.ones((8, 8), np.float64), "a TIFF of 64-bit floats"),
        (np.ones((8, 8, 3), np.int32), "a TIFF of 32-bit numbers"),
    ],
)
def test_a_tiff_with_too_many_bits_is_not_reported_as_damaged(pixels, reason):
    data = cv2.imencode(".tiff", pixels)[1].tobytes()
    with pytest.raises(UnreadableImageError, match=reason):
        decode_image(data)
    with pytest.raises(UnreadableImageError, match="damaged TIFF"):
        decode_image(data[:-40])


def _encode_picture(kind, mode="RGB", **options):
    return encode(Image.fromarray(picture(4, 24, 32)).convert(mode), kind, **options)


def _encode_jpeg_with_thumbnail():
    """A JPEG whose EXIF contains a thumbnail, which has an end marker too, as cameras write it."""
    plain, small = _encode_picture("JPEG"), _encode_picture("JPEG", quality=10)
    return plain[:2] + b"\xff\xe1" + (len(small) + 2).to_bytes(2, "big") + small + plain[2:]


JPEGS = {
    "plain": _encode_picture("JPEG"),
    "progressive": _encode_picture("JPEG", progressive=True),
    "with restarts": _encode_picture("JPEG", restart_marker_blocks=1),
    "with a thumbnail": _encode_jpeg_with_thumbnail(),
    "CMYK": _encode_picture("JPEG", "CMYK"),
}


@pytest.mark.parametrize("kind", JPEGS)
def test_every_truncated_jpeg_is_refused(kind):
    complete = JPEGS[kind]
    assert decode_image(complete).shape == (24, 32, 3)
    for length in range(1, len(complete)):
        with pytest.raises(UnreadableImageError):
            decode_image(complete[:length])


@pytest.mark.parametrize("kind", JPEGS)
def test_bytes_after_the_end_of_a_jpeg_are_ignored(kind):
    """Phones append videos; about half of these random tails contain bytes like the start of a scan."""
    rng, plain = random.Random(0), decode_image(JPEGS[kind])
    for _ in range(25):
        tail = rng.randbytes(rng.randrange(64_000, 3_000_000))
        np.testing.assert_array_equal(decode_image(JPEGS[kind] + tail), plain)


@pytest.mark.parametrize("kind", ["PNG", "GIF", "BMP", "TIFF", "WEBP", "AVIF", "HEIF"])
def test_a_damaged_file_is_reported_as_damaged(kind, capfd):
    data = _encode_picture(kind)
    format_name = {"WEBP": "WebP", "HEIF": "HEIC"}.get(kind, kind)
    assert decode_image(data).shape == (24, 32, 3)
    with pytest.raises(UnreadableImageError, match=f"damaged {format_name}"):
        decode_image(data[: len(data) // 3])
    assert capfd.readouterr().err == ""


def _store(upright: np.ndarray, orientation: int) -> np.ndarray:
    """The pixels of a file that a reader turns upright by this EXIF orientation."""
    turned = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright),
        7: upright[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(upright, -1),
    }
    return np.ascontiguousarray(turned[orientation])


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_exif_orientation_is_applied_also_to_transparent_images(kind, orientation):
    colors = np.array([[(255, 0, 0, 255), (0, 255, 0, 0)], [(0, 0, 0, 255), (0, 0, 255, 255)]], np.uint8)
    upright = colors.repeat(12, axis=0).repeat(20, axis=1)
    for mode in ["RGB"] if kind == "JPEG" else ["RGB", "RGBA"]:
        image = Image.fromarray(_store(upright, orientation)).convert(mode)
        pixels = decode_image(encode(image, kind, quality=95, exif=exif_with_orientation(orientation)))
        assert pixels.shape == (24, 40, 3)
        assert pixels.dtype == np.uint8
        expected = colors[..., :3].astype(int)
        expected[0, 1] = (0, 255, 0) if mode == "RGB" else (255, 255, 255)
        limit = 16 if kind in {"AVIF", "HEIF"} else 3
        assert np.abs(pixels[[[3], [-4]], [3, -4]] - expected).max() < limit


def _encode_ten_bits(kind: str, mode: str) -> bytes:
    """A ten-bit image, half red and half blue, or the same in grey; an alpha channel is fully opaque."""
    pixels = np.full((24, 40, 4), 65535, np.uint16)
    pixels[:, :20, :3], pixels[:, 20:, :3] = (51400, 25700, 12850), (5140, 56540, 30840)
    if kind == "AVIF":
        packed = pixels[..., [2, 1, 0]] >> 6
        return cv2.imencode(".avif", packed, [cv2.IMWRITE_AVIF_DEPTH, 10, cv2.IMWRITE_AVIF_QUALITY, 95])[1].tobytes()
    channels = {"RGB": pixels[..., :3], "RGBA": pixels, "I": pixels[..., 0]}[mode]
    heif = pillow_heif.from_bytes(mode=f"{mode};16", size=(40, 24), data=np.ascontiguousarray(channels).tobytes())
    return encode(heif, kind, quality=95)


@pytest.mark.parametrize(("kind", "mode"), [("AVIF", "RGB"), ("HEIF", "RGB"), ("HEIF", "RGBA"), ("HEIF", "I")])
def test_images_of_ten_bits_are_converted_to_eight(kind, mode):
    pixels = decode_image(_encode_ten_bits(kind, mode))
    assert pixels.dtype == np.uint8
    left, right = ((200, 200, 200), (20, 20, 20)) if mode == "I" else ((200, 100, 50), (20, 220, 120))
    assert np.abs(pixels[[12, 12], [5, 34]].astype(int) - [left, right]).max() < 6


@pytest.mark.parametrize("kind", ["AVIF", "HEIF"])
@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
def test_avif_and_heic_have_three_channels(kind, mode):
    pixels = decode_image(encode(Image.new("RGBA", (40, 24), (90, 90, 90, 128)).convert(mode), kind))
    assert pixels.shape == (24, 40, 3)
    assert pixels.flags.writeable
    expected_value = 90 if mode in {"L", "RGB"} else round(90 * 128 / 255 + 255 * 127 / 255)  # on white
    assert np.abs(pixels.astype(int) - expected_value).max() < 4


def _encode_partly_transparent(kind: str, mode: str, hidden_value: int, alpha: int = 0) -> bytes:
    """An image with an opaque upper half, and a lower half whose colour `hidden_value` is invisible if alpha is 0."""
    pixels = np.full((24, 40, 4), (200, 100, 50, 255), np.uint8)
    pixels[12:] = (hidden_value, 255 - hidden_value, hidden_value, alpha)
    image, options = Image.fromarray(pixels, "RGBA"), dict[str, object]()
    if mode == "P":  # a palette, one colour of which is transparent
        image = Image.fromarray((np.arange(24) >= 12).repeat(40).reshape(24, 40).astype(np.uint8), "P")
        image.putpalette([200, 100, 50, hidden_value, 255 - hidden_value, hidden_value])
        options["transparency"] = 1
    elif mode == "RGB":  # one colour is transparent
        image, options["transparency"] = image.convert("RGB"), (hidden_value, 255 - hidden_value, hidden_value)
    elif mode != "RGBA":
        image = image.convert(mode)
    if kind == "WEBP":
        options |= {"lossless": True, "exact": True}
    return encode(image, kind, **options)


TRANSPARENT = [
    *(("PNG", mode) for mode in ("RGBA", "LA", "P", "RGB")),
    *(("GIF", "P"), ("WEBP", "RGBA"), ("TIFF", "RGBA"), ("TIFF", "LA"), ("AVIF", "RGBA"), ("HEIF", "RGBA")),
]


@pytest.mark.parametrize(("kind", "mode"), TRANSPARENT)
def test_transparent_pixels_become_white_regardless_of_their_colour(kind, mode):
    images = [decode_image(_encode_partly_transparent(kind, mode, hidden_value)) for hidden_value in (0, 90, 250)]
    for image in images:
        assert image.shape == (24, 40, 3)
        assert image[14:].min() >= (250 if kind == "HEIF" else 255)  # the transparency of HEIC is lossy too
        expected_value = (124, 124, 124) if mode == "LA" else (200, 100, 50)
        assert np.abs(image[2:10].astype(int) - expected_value).max() < 6
    if kind not in {"AVIF", "HEIF"}:  # their colours are lossy
        assert all(np.array_equal(image, images[0]) for image in images)


@pytest.mark.parametrize(("kind", "mode"), [pair for pair in TRANSPARENT if pair[1] in {"RGBA", "LA"}])
def test_alpha_blends_with_white_and_opaque_pixels_do_not_change(kind, mode):
    blended = decode_image(_encode_partly_transparent(kind, mode, 0, alpha=128))[18, 20].astype(int)
    colour = np.array([150, 150, 150] if mode == "LA" else [0, 255, 0])  # grey of (0, 255, 0)
    assert np.abs(blended - (colour * 128 + 255 * 127) / 255).max() < 5
    data = _encode_partly_transparent(kind, mode, 0, alpha=255)
    if kind not in {"AVIF", "HEIF"}:
        np.testing.assert_array_equal(
            decode_image(data), cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
        )


def test_transparent_pixels_of_sixteen_bit_png_and_of_bmp_become_white():
    sixteen_bits = np.full((8, 8, 4), (0, 0, 65535, 65535), np.uint16)
    sixteen_bits[4:, :, 3] = 0
    pixels = decode_image(cv2.imencode(".png", sixteen_bits)[1].tobytes())
    assert pixels[[0, 7], 0].tolist() == [[255, 0, 0], [255, 255, 255]]
    header = struct.pack("<IiiHHIIiiII4I", 108, 2, 1, 1, 32, 3, 8, 0, 0, 0, 0, 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    header += bytes(108 - len(header))
    body = bytes([0, 0, 200, 255, 90, 90, 90, 0])  # blue, green, red, alpha
    bmp = b"BM" + struct.pack("<IHHI", 14 + 108 + 8, 0, 0, 14 + 108) + header + body
    assert decode_image(bmp)[0].tolist() == [[200, 0, 0], [255, 255, 255]]


@pytest.mark.parametrize("kind", ["PNG", "GIF", "BMP", "TIFF", "WEBP", "AVIF", "HEIF"])
def test_a_truncated_file_is_refused_or_decodes_completely(kind):
    complete = _encode_picture(kind)
    for length in range(1, len(complete), 3):
        with contextlib.suppress(UnreadableImageError):
            np.testing.assert_array_equal(decode_image(complete[:length]), decode_image(complete))


def test_only_regular_files_of_a_sensible_size_are_read(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "folder.jpg").mkdir()
    with (tmp_path / "sparse.jpg").open("wb") as file:
        file.truncate(6 << 30)
    reasons = {"pipe.jpg": "not a regular", "folder.jpg": "not a regular", "sparse.jpg": "more than 800,000,000 bytes"}
    cases = [(tmp_path / name, reason) for name, reason in reasons.items()]
    for path, reason in [*cases, (Path("/dev/zero"), "regular")]:
        with pytest.raises(UnreadableImageError, match=reason):
            read_image(path, 16)


def test_resize_averages_when_shrinking_and_keeps_the_same_size():
    checkerboard = np.indices((64, 64)).sum(axis=0) % 2 * 255
    checkerboard = np.repeat(checkerboard[..., None], 3, axis=2).astype(np.uint8)
    assert set(np.unique(resize_image(checkerboard, 32))) <= {127, 128}
    assert resize_image(checkerboard, 64) is checkerboard
    assert resize_image(checkerboard, 100).shape == (100, 100, 3)


@pytest.fixture
def write_pictures(tmp_path):
    """write_pictures(3): three files, 0.png to 2.png."""

    def write(count):
        paths = [tmp_path / f"{index}.png" for index in range(count)]
        for index, path in enumerate(paths):
            cv2.imwrite(str(path), picture(index)[..., ::-1])
        return paths

    return write


def test_images_are_read_in_order_and_a_bad_file_is_named(write_pictures):
    paths = write_pictures(6)
    batch = read_images(paths, 16)
    for index, path in enumerate(paths):
        np.testing.assert_array_equal(batch[index], read_image(path, 16))
    paths[5].write_bytes(b"")
    for read in (lambda: read_images(paths, 16), lambda: list(prefetch_batches(paths, 16, 2))):
        with pytest.raises(UnreadableImageError, match=r"5\.png: empty file"):
            read()


@pytest.mark.parametrize(("count", "batch_size"), [(7, 2), (6, 3), (2, 5), (1, 1)])
def test_prefetched_batches_are_in_order(write_pictures, count, batch_size):
    paths = write_pictures(count)
    batches = list(prefetch_batches(paths, 16, batch_size))
    assert [len(batch) for batch in batches[:-1]] == [batch_size] * (len(batches) - 1)
    np.testing.assert_array_equal(np.concatenate(batches), read_images(paths, 16))
