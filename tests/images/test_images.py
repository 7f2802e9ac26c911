"""The one reader of pictures."""

import contextlib
import io
import os
import random
import struct
from pathlib import Path

import cv2
import numpy as np
import pillow_heif
import pytest
from conftest import picture
from PIL import Image

from realwaste.images.reader import UnreadableImageError, decode, read, read_ahead, read_many, resize

pillow_heif.register_heif_opener()  # to write such files


def _jpeg(image: np.ndarray) -> bytes:
    return cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 100])[1].tobytes()


def test_colours_are_red_green_blue():
    red = np.zeros((16, 16, 3), np.uint8)
    red[..., 0] = 255
    np.testing.assert_allclose(decode(_jpeg(red))[8, 8], [254, 0, 0], atol=2)


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".webp", ".tiff"])
def test_other_formats_are_read_by_content(suffix):
    image = picture(1)
    data = cv2.imencode(suffix, image[..., ::-1], [cv2.IMWRITE_WEBP_QUALITY, 101])[1].tobytes()
    np.testing.assert_array_equal(decode(data), image)


def test_grey_gets_three_channels():
    grey = cv2.imencode(".png", picture(2)[..., 0])[1].tobytes()
    assert decode(grey).shape == (40, 40, 3)


def test_exif_orientation_is_applied():
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    plain = _jpeg(picture(3, height=20, width=40))
    turned = plain[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + plain[2:]
    assert decode(plain).shape == (20, 40, 3)
    np.testing.assert_array_equal(decode(turned), np.rot90(decode(plain), -1))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty file"),
        (b"these are words", "not an image"),
        (b"<html>not found</html>", "not an image"),
        (_jpeg(picture(4))[:-40], "truncated JPEG"),
        (_jpeg(picture(4))[:200], "truncated JPEG"),
    ],
)
def test_what_is_no_whole_image_has_a_reason(data, reason):
    with pytest.raises(UnreadableImageError, match=reason):
        decode(data)


@pytest.mark.parametrize(
    ("pixels", "reason"),
    [
        (np.ones((8, 8, 3), np.float32), "a TIFF of 32-bit floats: save it with 8 or 16 bits a channel"),
        (np.ones((8, 8), np.float64), "a TIFF of 64-bit floats"),
        (np.ones((8, 8, 3), np.int32), "a TIFF of 32-bit numbers"),
    ],
)
def test_a_tiff_that_is_too_deep_is_not_called_damaged(pixels, reason):
    data = cv2.imencode(".tiff", pixels)[1].tobytes()
    with pytest.raises(UnreadableImageError, match=reason):
        decode(data)
    with pytest.raises(UnreadableImageError, match="damaged TIFF"):
        decode(data[:-40])


def _pillow(kind, **options):
    file = io.BytesIO()
    Image.fromarray(picture(4, 24, 32)).save(file, format=kind, **options)
    return file.getvalue()


def _thumbnailed():
    """With a whole JPEG in its EXIF, as cameras leave it: its end marker is not the picture's."""
    plain, small = _pillow("JPEG"), _pillow("JPEG", quality=10)
    return plain[:2] + b"\xff\xe1" + (len(small) + 2).to_bytes(2, "big") + small + plain[2:]


def _cmyk():
    file = io.BytesIO()
    Image.fromarray(picture(4, 24, 32)).convert("CMYK").save(file, format="JPEG")
    return file.getvalue()


JPEGS = {
    "plain": _pillow("JPEG"),
    "progressive": _pillow("JPEG", progressive=True),
    "with restarts": _pillow("JPEG", restart_marker_blocks=1),
    "with a thumbnail": _thumbnailed(),
    "CMYK": _cmyk(),
}


@pytest.mark.parametrize("kind", JPEGS)
def test_every_cut_of_a_jpeg_is_found(kind):
    whole = JPEGS[kind]
    assert decode(whole).shape == (24, 32, 3)
    for length in range(1, len(whole)):
        with pytest.raises(UnreadableImageError):
            decode(whole[:length])


@pytest.mark.parametrize("kind", JPEGS)
def test_what_follows_a_whole_jpeg_is_not_looked_at(kind):
    """Phones append videos; of random bytes every other tail has something like the start of a scan in it."""
    chance, plain = random.Random(0), decode(JPEGS[kind])
    for _ in range(25):
        tail = chance.randbytes(chance.randrange(64_000, 3_000_000))
        np.testing.assert_array_equal(decode(JPEGS[kind] + tail), plain)


@pytest.mark.parametrize("kind", ["PNG", "GIF", "BMP", "TIFF", "WEBP", "AVIF", "HEIF"])
def test_a_damaged_file_is_told_from_one_that_is_no_image(kind, capfd):
    data = _pillow(kind)
    named = {"WEBP": "WebP", "HEIF": "HEIC"}.get(kind, kind)
    assert decode(data).shape == (24, 32, 3)
    with pytest.raises(UnreadableImageError, match=f"damaged {named}"):
        decode(data[: len(data) // 3])
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("kind", ["AVIF", "HEIF"])
def test_what_phones_write_is_read_upright_and_in_colour(kind):
    upright = np.zeros((24, 40, 3), np.uint8)
    upright[:12, :20], upright[12:, 20:] = (255, 0, 0), (0, 0, 255)
    for turn, turned in {1: upright, 3: upright[::-1, ::-1], 6: np.rot90(upright), 8: np.rot90(upright, -1)}.items():
        exif = Image.Exif()
        exif[0x0112] = turn
        for mode in ("RGB", "RGBA"):
            file = io.BytesIO()
            Image.fromarray(turned).convert(mode).save(file, format=kind, quality=95, exif=exif.tobytes())
            found = decode(file.getvalue())
            assert found.shape == upright.shape
            assert found.dtype == np.uint8
            assert np.abs(found[[3, -4], [3, -4]].astype(int) - [[255, 0, 0], [0, 0, 255]]).max() < 16


def _ten_bits(kind: str, mode: str) -> bytes:
    """Half of it red, half of it blue, or that in grey, with an alpha channel that hides nothing if `mode` has one."""
    pixels = np.full((24, 40, 4), 65535, np.uint16)
    pixels[:, :20, :3], pixels[:, 20:, :3] = (51400, 25700, 12850), (5140, 56540, 30840)
    if kind == "AVIF":
        packed = pixels[..., [2, 1, 0]] >> 6
        return cv2.imencode(".avif", packed, [cv2.IMWRITE_AVIF_DEPTH, 10, cv2.IMWRITE_AVIF_QUALITY, 95])[1].tobytes()
    chosen = {"RGB": pixels[..., :3], "RGBA": pixels, "I": pixels[..., 0]}[mode]
    file = io.BytesIO()
    written = pillow_heif.from_bytes(mode=f"{mode};16", size=(40, 24), data=np.ascontiguousarray(chosen).tobytes())
    written.save(file, quality=95)
    return file.getvalue()


@pytest.mark.parametrize(("kind", "mode"), [("AVIF", "RGB"), ("HEIF", "RGB"), ("HEIF", "RGBA"), ("HEIF", "I")])
def test_ten_bits_become_eight(kind, mode):
    found = decode(_ten_bits(kind, mode))
    assert found.dtype == np.uint8
    left, right = ((200, 200, 200), (20, 20, 20)) if mode == "I" else ((200, 100, 50), (20, 220, 120))
    assert np.abs(found[[12, 12], [5, 34]].astype(int) - [left, right]).max() < 6


@pytest.mark.parametrize("kind", ["AVIF", "HEIF"])
@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
def test_what_phones_write_has_three_channels(kind, mode):
    file = io.BytesIO()
    Image.new("RGBA", (40, 24), (90, 90, 90, 128)).convert(mode).save(file, format=kind)
    found = decode(file.getvalue())
    assert found.shape == (24, 40, 3)
    assert found.flags.writeable
    seen = 90 if mode in {"L", "RGB"} else round(90 * 128 / 255 + 255 * 127 / 255)  # on white
    assert np.abs(found.astype(int) - seen).max() < 4


def _see_through(kind: str, mode: str, hidden: int, alpha: int = 0, turn: int = 1) -> bytes:
    """Above a colour, below the same in which `hidden` stands where nothing of it is seen with an alpha of 0."""
    pixels = np.full((24, 40, 4), (200, 100, 50, 255), np.uint8)
    pixels[12:] = (hidden, 255 - hidden, hidden, alpha)
    drawn, options = Image.fromarray(pixels, "RGBA"), dict[str, object]()
    if mode == "P":  # a palette, one colour of which is transparent
        drawn = Image.fromarray((np.arange(24) >= 12).repeat(40).reshape(24, 40).astype(np.uint8), "P")
        drawn.putpalette([200, 100, 50, hidden, 255 - hidden, hidden])
        options["transparency"] = 1
    elif mode == "RGB":  # one colour is
        drawn, options["transparency"] = drawn.convert("RGB"), (hidden, 255 - hidden, hidden)
    elif mode != "RGBA":
        drawn = drawn.convert(mode)
    if kind == "WEBP":
        options |= {"lossless": True, "exact": True}
    if turn > 1:
        exif = Image.Exif()
        exif[0x0112] = turn
        options["exif"] = exif
    file = io.BytesIO()
    drawn.save(file, format=kind, **options)
    return file.getvalue()


TRANSPARENT = [
    *(("PNG", mode) for mode in ("RGBA", "LA", "P", "RGB")),
    *(("GIF", "P"), ("WEBP", "RGBA"), ("TIFF", "RGBA"), ("TIFF", "LA"), ("AVIF", "RGBA"), ("HEIF", "RGBA")),
]


@pytest.mark.parametrize(("kind", "mode"), TRANSPARENT)
def test_what_is_transparent_is_white_whatever_colour_it_hides(kind, mode):
    found = [decode(_see_through(kind, mode, hidden)) for hidden in (0, 90, 250)]
    for image in found:
        assert image.shape == (24, 40, 3)
        assert image[14:].min() >= (250 if kind == "HEIF" else 255)  # whose transparency is lossy too
        seen = (124, 124, 124) if mode == "LA" else (200, 100, 50)
        assert np.abs(image[2:10].astype(int) - seen).max() < 6
    if kind not in {"AVIF", "HEIF"}:  # lossy
        assert all(np.array_equal(image, found[0]) for image in found)


@pytest.mark.parametrize(("kind", "mode"), [pair for pair in TRANSPARENT if pair[1] in {"RGBA", "LA"}])
def test_half_transparent_is_half_white_and_opaque_is_as_it_is(kind, mode):
    half = decode(_see_through(kind, mode, 0, alpha=128))[18, 20].astype(int)
    dark = np.array([150, 150, 150] if mode == "LA" else [0, 255, 0])  # grey of (0, 255, 0)
    assert np.abs(half - (dark * 128 + 255 * 127) / 255).max() < 5
    data = _see_through(kind, mode, 0, alpha=255)
    if kind not in {"AVIF", "HEIF"}:
        np.testing.assert_array_equal(decode(data), cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB))


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize("turn", range(1, 9))
def test_a_transparent_picture_stands_upright_as_an_opaque_one_does(kind, turn):
    clear, opaque = (decode(_see_through(kind, "RGBA", 0, alpha, turn)) for alpha in (0, 255))
    assert clear.shape == opaque.shape
    hidden = (np.abs(opaque.astype(int) - (0, 255, 0)) < 60).all(axis=2)
    assert 0.45 < hidden.mean() < 0.55
    assert (clear.min(axis=2) == 255)[hidden].mean() > 0.95


def test_sixteen_bits_and_bmp_may_be_transparent():
    deep = np.full((8, 8, 4), (0, 0, 65535, 65535), np.uint16)
    deep[4:, :, 3] = 0
    found = decode(cv2.imencode(".png", deep)[1].tobytes())
    assert found[[0, 7], 0].tolist() == [[255, 0, 0], [255, 255, 255]]
    head = struct.pack("<IiiHHIIiiII4I", 108, 2, 1, 1, 32, 3, 8, 0, 0, 0, 0, 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    head += bytes(108 - len(head))
    pixels = bytes([0, 0, 200, 255, 90, 90, 90, 0])  # blue, green, red, alpha
    bmp = b"BM" + struct.pack("<IHHI", 14 + 108 + 8, 0, 0, 14 + 108) + head + pixels
    assert decode(bmp)[0].tolist() == [[200, 0, 0], [255, 255, 255]]


@pytest.mark.parametrize("kind", ["PNG", "GIF", "BMP", "TIFF", "WEBP", "AVIF", "HEIF"])
def test_a_cut_file_is_refused_or_has_all_of_its_picture(kind):
    whole = _pillow(kind)
    for length in range(1, len(whole), 3):
        with contextlib.suppress(UnreadableImageError):
            np.testing.assert_array_equal(decode(whole[:length]), decode(whole))


def test_only_regular_files_of_a_sensible_size_are_read(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "folder.jpg").mkdir()
    with (tmp_path / "sparse.jpg").open("wb") as file:
        file.truncate(6 << 30)
    refused = {"pipe.jpg": "not a regular", "folder.jpg": "not a regular", "sparse.jpg": "more than 800,000,000 bytes"}
    for path, reason in [*((tmp_path / name, said) for name, said in refused.items()), (Path("/dev/zero"), "regular")]:
        with pytest.raises(UnreadableImageError, match=reason):
            read(path, 16)


def test_resize_averages_when_shrinking_and_keeps_the_same_size():
    board = np.indices((64, 64)).sum(axis=0) % 2 * 255
    board = np.repeat(board[..., None], 3, axis=2).astype(np.uint8)
    assert set(np.unique(resize(board, 32))) <= {127, 128}
    assert resize(board, 64) is board
    assert resize(board, 100).shape == (100, 100, 3)


def test_many_are_read_in_order_and_named_when_bad(tmp_path):
    paths = []
    for index in range(5):
        paths.append(tmp_path / f"{index}.png")
        cv2.imwrite(str(paths[-1]), picture(index)[..., ::-1])
    together = read_many(paths, 16)
    for index, path in enumerate(paths):
        np.testing.assert_array_equal(together[index], read(path, 16))
    paths[3].write_bytes(b"")
    with pytest.raises(UnreadableImageError, match=r"3\.png: empty file"):
        read_many(paths, 16)


@pytest.mark.parametrize(("count", "batch_size"), [(7, 2), (6, 3), (2, 5), (1, 1)])
def test_reading_ahead_gives_the_batches_in_order(tmp_path, count, batch_size):
    paths = [tmp_path / f"{index}.png" for index in range(count)]
    for index, path in enumerate(paths):
        cv2.imwrite(str(path), picture(index)[..., ::-1])
    parts = list(read_ahead(paths, 16, batch_size))
    assert [len(part) for part in parts[:-1]] == [batch_size] * (len(parts) - 1)
    np.testing.assert_array_equal(np.concatenate(parts), read_many(paths, 16))


def test_reading_ahead_names_the_bad_file(tmp_path):
    paths = [tmp_path / f"{index}.png" for index in range(6)]
    for index, path in enumerate(paths):
        cv2.imwrite(str(path), picture(index))
    paths[5].write_bytes(b"")
    with pytest.raises(UnreadableImageError, match=r"5\.png: empty file"):
        list(read_ahead(paths, 16, 2))
