import cv2
import numpy as np
import pytest
from conftest import picture

from realwaste.images import UnreadableImageError, decode, read, read_ahead, read_many, resize


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
        (_jpeg(picture(4))[:200], "not an image"),
    ],
)
def test_what_is_no_whole_image_has_a_reason(data, reason):
    with pytest.raises(UnreadableImageError, match=reason):
        decode(data)


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
