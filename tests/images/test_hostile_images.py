"""Unusual, damaged and hostile image files are read correctly or refused with a reason; nothing crashes."""

import contextlib
import csv
import os
import random
import struct
import subprocess
import sys
import time
import zlib
from functools import cache
from typing import Any

import cv2
import numpy as np
import pytest
from conftest import picture
from images.encoding import encode
from PIL import Image

from benchmarks.parts.child import ROOT
from realwaste.core.files import read_csv, write_csv
from realwaste.dataset import manifest
from realwaste.images.reader import UnreadableImageError, decode_image, prefetch_batches, read_image, read_images
from realwaste.training import samples


@pytest.mark.parametrize(
    ("mode", "color", "kind", "expected"),
    [
        ("L", 90, "PNG", (90, 90, 90)),
        ("L", 90, "JPEG", (90, 90, 90)),
        ("I;16", 90 * 257, "PNG", (90, 90, 90)),
        ("RGBA", (200, 100, 50, 255), "PNG", (200, 100, 50)),
        ("LA", (90, 255), "PNG", (90, 90, 90)),
        ("P", 0, "PNG", (0, 0, 0)),
        ("CMYK", (0, 255, 255, 0), "JPEG", (255, 0, 0)),
        ("1", 1, "PNG", (255, 255, 255)),
        ("RGB", (200, 100, 50), "GIF", (200, 100, 50)),
        ("RGB", (200, 100, 50), "TIFF", (200, 100, 50)),
        ("RGB", (200, 100, 50), "BMP", (200, 100, 50)),
        ("RGB", (200, 100, 50), "WEBP", (200, 100, 50)),
    ],
)
def test_each_color_mode_and_format_is_decoded_to_rgb_regardless_of_the_suffix(mode, color, kind, expected, tmp_path):
    (tmp_path / "named.jpg").write_bytes(encode(Image.new(mode, (32, 24), color), kind))
    pixels = decode_image((tmp_path / "named.jpg").read_bytes())
    assert pixels.shape == (24, 32, 3)
    assert pixels.dtype == np.uint8
    assert np.abs(pixels[12, 16].astype(int) - expected).max() <= 3


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_the_first_frame_of_an_animation_is_read(kind):
    frames = [Image.new("RGB", (16, 16), color) for color in ((255, 0, 0), (0, 0, 255), (0, 255, 0))]
    data = encode(frames[0], kind, save_all=True, append_images=frames[1:], lossless=True)
    np.testing.assert_allclose(decode_image(data)[8, 8], [255, 0, 0], atol=3)


def test_images_of_one_pixel_or_one_line_are_read(tmp_path):
    for shape in ((1, 1, 3), (1, 300, 3), (300, 1, 3)):
        cv2.imwrite(str(tmp_path / "p.png"), np.full(shape, 7, np.uint8))
        assert read_image(tmp_path / "p.png", 32).tolist() == np.full((32, 32, 3), 7).tolist()


@cache
def _decompression_bomb(side: int) -> bytes:
    """A PNG of side x side black pixels in a few hundred kB."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    compressor = zlib.compressobj(9)
    line = bytes(side + 1)
    lines = b"".join(compressor.compress(line) for _ in range(side)) + compressor.flush()
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", lines) + chunk(b"IEND", b"")


@pytest.mark.parametrize("module", ["stages.validate_images", "stages.train_cnn", "tensorflow", "realwaste.web.server"])
def test_a_decompression_bomb_is_refused_before_decompression(module, tmp_path):
    """In a new process for each import, because TensorFlow contains OpenCV with other limits."""
    bomb = _decompression_bomb(20_000)
    assert len(bomb) < 1_000_000
    (tmp_path / "bomb.png").write_bytes(bomb)
    code = f"""
import resource, sys
sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / "src")!r}]
from realwaste.core.library_settings import importing_tensorflow
with importing_tensorflow():
    import {module}
from realwaste.images.reader import UnreadableImageError, decode_image
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    decode_image(open("bomb.png", "rb").read())
except UnreadableImageError as error:
    print(error, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    completed = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    reason, _, memory_growth_kb = completed.stdout.strip().rpartition(" ")
    assert reason == "more than 200,000,000 pixels"
    assert int(memory_growth_kb) < 50_000, "kB; decompressed, the image has 1.2 GB"


def _with_header_size(kind: str, width: int, height: int) -> bytes:
    """An image of 16 by 16 pixels whose header states another size."""
    data = bytearray(encode(Image.new("RGB", (16, 16)), kind, lossless=True))
    fields: dict[str, Any] = {
        "JPEG": lambda: [(data.index(b"\xff\xc0") + 5, ">HH", height, width)],
        "GIF": lambda: [(6, "<HH", width, height)],
        "BMP": lambda: [(18, "<ii", width, height)],
        "WEBP": lambda: [(data.index(b"VP8L") + 9, "<I", (width - 1) | (height - 1) << 14)],
        "TIFF": lambda: [
            (data.index(struct.pack("<HHI", tag, 4, 1)) + 8, "<I", side) for tag, side in ((256, width), (257, height))
        ],
    }
    # the ispe box of AVIF and HEIC
    for position, layout, *sides in fields.get(kind, lambda: [(data.index(b"ispe") + 8, ">II", width, height)])():
        struct.pack_into(layout, data, position, *sides)
    return bytes(data)


@pytest.mark.parametrize("kind", ["JPEG", "GIF", "BMP", "WEBP", "TIFF", "AVIF", "HEIF"])
def test_a_header_with_too_many_pixels_is_refused(kind):
    with pytest.raises(UnreadableImageError, match=r"more than 200,000,000 pixels|damaged (AVIF|HEIC)"):
        decode_image(_with_header_size(kind, 16_000, 16_000))


def _tiff(*tags: tuple[int, int, int], big: bool = False) -> bytes:
    """A TIFF of 16 by 16 grey pixels; `tags` (number, type, value) come before the regular ones."""
    default_tags = [(256, 3, 16), (257, 3, 16), (258, 3, 8), (259, 3, 1), (262, 3, 1), (273, 4, 8)]
    default_tags += [(278, 3, 16), (279, 4, 256)]
    entries = sorted([*tags, *default_tags], key=lambda entry: entry[0])
    directory = b"".join(struct.pack("<HHQQ" if big else "<HHII", *entry[:2], 1, entry[2]) for entry in entries)
    header = struct.pack("<4sHHQ", b"II+\0", 8, 0, 16 + 256) if big else struct.pack("<4sI", b"II*\0", 8 + 256)
    directory = directory.replace(struct.pack("<HHQQ", 273, 4, 1, 8), struct.pack("<HHQQ", 273, 4, 1, 16))
    return header + bytes(256) + struct.pack("<Q" if big else "<H", len(entries)) + directory + bytes(8)


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize(
    "tags",
    [
        [(256, 4, 20_000), (257, 4, 20_000)],
        [(322, 4, 20_000), (323, 4, 20_000), (324, 4, 8), (325, 4, 256)],
        [(256, 4, 1 << 31), (257, 4, 1 << 31)],
    ],
)
def test_the_larger_of_two_tiff_sizes_is_checked(tags, big):
    """libtiff uses the first of two sizes; a library that reads only headers may use the other."""
    assert decode_image(_tiff(big=big)).shape == (16, 16, 3)
    with pytest.raises(UnreadableImageError, match="more than 200,000,000 pixels"):
        decode_image(_tiff(*tags, big=big))


def test_sizes_that_opencv_refuses_are_reported_as_damage():
    for data, reason in ((_tiff((256, 16, 8)), "damaged TIFF"), (_with_header_size("BMP", 1 << 21, 2), "damaged BMP")):
        with pytest.raises(UnreadableImageError, match=f"^{reason}$"):
            decode_image(data)


def test_a_jpeg_with_endless_scans_or_segments_is_refused_at_once():
    """A scan of 300 bytes may cover 200 million pixels: decoding a thousand of them takes minutes."""
    complete = encode(Image.fromarray(picture(1, 24, 24)), "JPEG", progressive=True)
    scans = complete.split(b"\xff\xda")
    assert decode_image(complete[:-2] + (b"\xff\xda" + scans[-1][:-2]) * 20 + b"\xff\xd9").shape == (24, 24, 3)
    with pytest.raises(UnreadableImageError, match="more than 100 scans"):
        decode_image(complete[:-2] + (b"\xff\xda" + scans[-1][:-2]) * 100 + b"\xff\xd9")
    start_s = time.process_time()
    with pytest.raises(UnreadableImageError):
        decode_image(b"\xff\xd8" + b"\xff\xfe\0\2" * 8_000_000 + complete[2:])
    assert time.process_time() - start_s < 1, "parsing all segments takes seven seconds"


@pytest.mark.parametrize("kind", ["AVIF", "HEIF"])
def test_damaged_exif_data_raises_only_unreadable_image_errors(kind):
    """Pillow warns of damaged EXIF data, and pytest turns warnings into errors."""
    exif = Image.Exif()
    exif[0x010F], exif[0x8769] = "maker", {0x9003: "2024:01:01 00:00:00"}
    intact, rng = encode(Image.fromarray(picture(1, 24, 24)), kind, exif=exif), random.Random(kind)
    start = intact.index(b"MM\0*")
    for _ in range(300):
        data = bytearray(intact)
        data[start + rng.randrange(60)] = rng.randrange(256)
        with contextlib.suppress(UnreadableImageError):
            assert decode_image(bytes(data)).shape == (24, 24, 3)


FILE_NAMES = [
    *("with space.jpg", "quote'\".jpg", "comma,semi;colon.jpg", "new\nline.jpg", "tab\t.jpg", "=1+1.jpg", "NA.jpg"),
    *("日本語.jpg", "עברית.jpg", "हिन्दी.jpg", "🗑️.jpg", "e\u0301.jpg", "\u00e9.jpg", "%20&?#.jpg", "-rf.jpg"),
]


def test_unusual_file_names_are_read_back_from_the_tables(images, tmp_path):
    root = images(glass=1, metal=1)
    for index, name in enumerate(FILE_NAMES):
        cv2.imwrite(str(tmp_path / "plain.jpg"), picture(50 + index))
        (tmp_path / "plain.jpg").rename(root / "glass" / name)
    accepted, rejected, _ = manifest.scan(root)
    assert rejected.empty
    write_csv(tmp_path / "manifest.csv", accepted)
    reread = read_csv(tmp_path / "manifest.csv")
    assert reread.astype(accepted.dtypes).equals(accepted)
    assert {path.removeprefix("glass/") for path in reread["path"]} >= set(FILE_NAMES)
    assert len(read_images([root / path for path in reread["path"]], 16)) == len(FILE_NAMES) + 2
    with (tmp_path / "manifest.csv").open(newline="", encoding="utf-8") as file:
        assert len(list(csv.reader(file))) == len(FILE_NAMES) + 3


def test_duplicates_are_counted_and_conflicting_labels_rejected(images):
    root = images(glass=2, metal=2)
    (root / "glass/again.jpg").write_bytes((root / "glass/glass_1.jpg").read_bytes())
    accepted, rejected, _ = manifest.scan(root)
    assert (len(accepted), len(rejected)) == (5, 0)
    assert manifest.summarize(accepted, rejected)["duplicates"] == 1
    (root / "metal/glass.jpg").write_bytes((root / "glass/glass_1.jpg").read_bytes())
    accepted, rejected, _ = manifest.scan(root)
    assert len(accepted) == 3
    assert dict(rejected.to_numpy().tolist()) == {
        "glass/again.jpg": "label conflict: the same bytes as metal/glass.jpg",
        "glass/glass_1.jpg": "label conflict: the same bytes as metal/glass.jpg",
        "metal/glass.jpg": "label conflict: the same bytes as glass/again.jpg and glass/glass_1.jpg",
    }


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_file_is_rejected_with_the_reason(images):
    root = images(glass=2, metal=1)
    (root / "glass/glass_1.jpg").chmod(0)
    _, rejected, _ = manifest.scan(root)
    assert rejected["reason"].tolist() == ["cannot be opened: Permission denied"]


def test_validation_training_and_embedding_read_the_same_pixels(images, tmp_path):
    """validate_images decodes files; train_cnn, lr_sweep, embed and evaluate read and resize them."""
    root = images(glass=3, metal=3)
    Image.new("CMYK", (32, 24), (0, 255, 255, 0)).save(root / "glass/cmyk.jpg")
    Image.new("RGBA", (32, 24), (9, 200, 3, 128)).save(root / "metal/alpha.png")
    accepted, *_ = manifest.scan(root)
    files = [root / path for path in accepted["path"]]
    validated = [decode_image(file.read_bytes()) for file in files]
    assert [image.shape[:2] for image in validated] == list(zip(accepted["height"], accepted["width"], strict=True))
    split = accepted.assign(split=["train", "val"] * (len(accepted) // 2))
    train, val, _ = samples.load_pictures(split, root, 40, "memory")
    embedded = np.concatenate(list(prefetch_batches(files, 40, 3)))
    np.testing.assert_array_equal(train.inputs[np.arange(4)], embedded[::2])
    np.testing.assert_array_equal(val.inputs[np.arange(4)], embedded[1::2])
    for image, pixels in zip(validated, embedded, strict=True):
        if image.shape == pixels.shape:
            np.testing.assert_array_equal(image, pixels)


def _mutate(data: bytes, rng: random.Random) -> bytes:
    changed = bytearray(data)
    kind = rng.randrange(5)
    if kind == 0:
        return bytes(changed[: rng.randrange(len(changed))])
    if kind == 1:
        start = rng.randrange(len(changed))
        del changed[start : start + rng.randrange(1, 40)]
    elif kind == 2:
        position = rng.randrange(len(changed))
        changed[position:position] = rng.randbytes(rng.randrange(1, 40))
    for _ in range(rng.choice([1, 2, 8, 64])):
        # The header of a file holds sizes and types: half of the changes go there.
        reach = min(len(changed), 64) if rng.random() < 0.5 else len(changed)
        if reach:
            changed[rng.randrange(reach)] = rng.randrange(256)
    return bytes(changed)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "HEIF"])
@pytest.mark.parametrize("mutants", [400, pytest.param(2000, marks=pytest.mark.release)])
def test_randomly_damaged_files_are_read_or_refused(kind, mutants, tmp_path, capfd):
    """Each file is refused with a reason or decoded; before a release, 2,000 files of each format are tested."""
    rng = random.Random(f".{kind.lower()}")  # with another seed, one damaged PNG may be large and take seconds
    originals = [encode(Image.fromarray(picture(seed, 24, 24)), kind) for seed in range(4)]
    accepted_count, refused_count = 0, 0
    path = tmp_path / "mutant"
    for _ in range(mutants):
        data = _mutate(rng.choice(originals), rng)
        try:
            image = decode_image(data)
        except UnreadableImageError as error:
            refused_count += bool(str(error))
            continue
        assert image.shape[2:] == (3,)
        assert image.dtype == np.uint8
        path.write_bytes(data)
        assert read_image(path, 16).shape == (16, 16, 3)
        accepted_count += 1
    assert "OpenCV" not in capfd.readouterr().err
    assert accepted_count + refused_count == mutants
    # A PNG has checksums: about one changed file in a thousand is still valid.
    assert accepted_count > 0 or (kind == "PNG" and mutants < 2000)
    assert refused_count > mutants / 100
