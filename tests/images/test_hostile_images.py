"""Whatever is named an image is read rightly, by every reader alike, or refused with its reason: never a crash."""

import contextlib
import csv
import io
import os
import random
import struct
import subprocess
import sys
import time
import zlib

import cv2
import numpy as np
import pillow_heif
import pytest
from conftest import picture
from PIL import Image

from benchmarks.parts.child import ROOT
from realwaste.core.files import read_csv, write_csv
from realwaste.dataset import manifest
from realwaste.images.reader import UnreadableImageError, decode, read, read_ahead, read_many
from realwaste.training import samples

pillow_heif.register_heif_opener()  # to write such files


def _flat(mode, color, name, folder, **options):
    path = folder / name
    Image.new(mode, (32, 24), color).save(path, **options)
    return path


@pytest.mark.parametrize(
    ("mode", "color", "suffix", "expected"),
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
def test_every_kind_of_picture_is_read_in_colour_whatever_it_is_named(mode, color, suffix, expected, tmp_path):
    found = decode(_flat(mode, color, "named.jpg", tmp_path, format=suffix).read_bytes())
    assert found.shape == (24, 32, 3)
    assert found.dtype == np.uint8
    assert np.abs(found[12, 16].astype(int) - expected).max() <= 3


@pytest.mark.parametrize("suffix", ["gif", "webp", "png"])
def test_of_an_animation_the_first_picture(suffix, tmp_path):
    frames = [Image.new("RGB", (16, 16), color) for color in ((255, 0, 0), (0, 0, 255), (0, 255, 0))]
    frames[0].save(tmp_path / f"a.{suffix}", save_all=True, append_images=frames[1:], lossless=True)
    np.testing.assert_allclose(decode((tmp_path / f"a.{suffix}").read_bytes())[8, 8], [255, 0, 0], atol=3)


@pytest.mark.parametrize("turn", range(1, 9))
def test_a_picture_stands_upright_by_its_exif(turn, tmp_path):
    upright = picture(1, height=20, width=32)
    turned = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright),
        7: upright[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(upright, -1),
    }[turn]
    exif = Image.Exif()
    exif[0x0112] = turn
    Image.fromarray(np.ascontiguousarray(turned)).save(tmp_path / "t.jpg", exif=exif, quality=100, subsampling=0)
    found = decode((tmp_path / "t.jpg").read_bytes())
    assert found.shape == upright.shape
    assert np.abs(found.astype(int) - upright).mean() < 3


def test_one_pixel_and_one_line(tmp_path):
    for shape in ((1, 1, 3), (1, 300, 3), (300, 1, 3)):
        cv2.imwrite(str(tmp_path / "p.png"), np.full(shape, 7, np.uint8))
        assert read(tmp_path / "p.png", 32).tolist() == np.full((32, 32, 3), 7).tolist()


def _bomb(side: int) -> bytes:
    """A PNG of side x side black pixels in a few hundred kB."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    packer = zlib.compressobj(9)
    line = bytes(side + 1)
    lines = b"".join(packer.compress(line) for _ in range(side)) + packer.flush()
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", lines) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    "module", ["stages.validate_images", "stages.train_cnn", "stages.evaluate", "tensorflow", "realwaste.web.server"]
)
def test_a_decompression_bomb_is_refused_before_it_unpacks(module, tmp_path):
    """In a process of its own, whatever was imported before: TensorFlow brings OpenCV, which has limits of its own."""
    bomb = _bomb(20_000)
    assert len(bomb) < 1_000_000
    (tmp_path / "bomb.png").write_bytes(bomb)
    code = f"""
import resource, sys
sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / "src")!r}]
import {module}
from realwaste.images.reader import UnreadableImageError, decode
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    decode(open("bomb.png", "rb").read())
except UnreadableImageError as error:
    print(error, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    reason, _, grown = done.stdout.strip().rpartition(" ")
    assert reason == "more than 200,000,000 pixels"
    assert int(grown) < 50_000, "kB; unpacked it is 1.2 GB"


def _with_sides(kind: str, width: int, height: int) -> bytes:
    """A small picture of 16 by 16 pixels that says in its header that it is larger."""
    file = io.BytesIO()
    Image.new("RGB", (16, 16)).save(file, format=kind, lossless=True)
    data, little, big = bytearray(file.getvalue()), struct.pack("<HH", 16, 16), struct.pack(">HH", 16, 16)
    if kind == "JPEG":
        place = data.index(b"\xff\xc0") + 5
        assert data[place : place + 4] == big
        data[place : place + 4] = struct.pack(">HH", height, width)
    elif kind == "GIF":
        assert data[6:10] == little
        data[6:10] = struct.pack("<HH", width, height)
    elif kind == "BMP":
        data[18:26] = struct.pack("<ii", width, height)
    elif kind == "WEBP":
        place = data.index(b"VP8L") + 9
        data[place : place + 4] = struct.pack("<I", (width - 1) | (height - 1) << 14)
    elif kind == "TIFF":
        for tag, side in ((256, width), (257, height)):
            place = data.index(struct.pack("<HHI", tag, 4, 1)) + 8
            data[place : place + 4] = struct.pack("<I", side)
    else:  # the ispe box of AVIF and HEIC
        place = data.index(b"ispe") + 8
        data[place : place + 8] = struct.pack(">II", width, height)
    return bytes(data)


@pytest.mark.parametrize("kind", ["JPEG", "GIF", "BMP", "WEBP", "TIFF", "AVIF", "HEIF"])
def test_no_header_may_ask_for_more(kind):
    with pytest.raises(UnreadableImageError, match=r"more than 200,000,000 pixels|damaged (AVIF|HEIC)"):
        decode(_with_sides(kind, 16_000, 16_000))


def _tiff(*tags: tuple[int, int, int], big: bool = False) -> bytes:
    """A page of 16 by 16 grey pixels; `tags` (number, type, value) are stated beside its own, before them."""
    usual = [
        (256, 3, 16),
        (257, 3, 16),
        (258, 3, 8),
        (259, 3, 1),
        (262, 3, 1),
        (273, 4, 8),
        (278, 3, 16),
        (279, 4, 256),
    ]
    entries = sorted([*tags, *usual], key=lambda entry: entry[0])
    packed = b"".join(struct.pack("<HHQQ" if big else "<HHII", *entry[:2], 1, entry[2]) for entry in entries)
    head = struct.pack("<4sHHQ", b"II+\0", 8, 0, 16 + 256) if big else struct.pack("<4sI", b"II*\0", 8 + 256)
    packed = packed.replace(struct.pack("<HHQQ", 273, 4, 1, 8), struct.pack("<HHQQ", 273, 4, 1, 16))
    return head + bytes(256) + struct.pack("<Q" if big else "<H", len(entries)) + packed + bytes(8)


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize(
    "tags",
    [
        [(256, 4, 20_000), (257, 4, 20_000)],
        [(322, 4, 20_000), (323, 4, 20_000), (324, 4, 8), (325, 4, 256)],
        [(256, 4, 1 << 31), (257, 4, 1 << 31)],
    ],
)
def test_a_tiff_that_states_two_sizes_or_a_large_tile_goes_by_the_larger(tags, big):
    """libtiff takes the first of two; a reader of headers may take the other."""
    assert decode(_tiff(big=big)).shape == (16, 16, 3)
    with pytest.raises(UnreadableImageError, match="more than 200,000,000 pixels"):
        decode(_tiff(*tags, big=big))


def test_a_tiff_whose_side_stands_elsewhere_is_refused():
    with pytest.raises(UnreadableImageError, match="damaged TIFF"):
        decode(_tiff((256, 16, 8)))


def test_a_jpeg_of_endless_scans_or_segments_is_refused_at_once():
    """A scan of 300 bytes may go over 200 million pixels: a thousand of them take minutes."""
    file = io.BytesIO()
    Image.fromarray(picture(1, 24, 24)).save(file, format="JPEG", progressive=True)
    whole, scans = file.getvalue(), file.getvalue().split(b"\xff\xda")
    assert decode(whole[:-2] + (b"\xff\xda" + scans[-1][:-2]) * 20 + b"\xff\xd9").shape == (24, 24, 3)
    with pytest.raises(UnreadableImageError, match="more than 100 scans"):
        decode(whole[:-2] + (b"\xff\xda" + scans[-1][:-2]) * 100 + b"\xff\xd9")
    started = time.process_time()
    with pytest.raises(UnreadableImageError):
        decode(b"\xff\xd8" + b"\xff\xfe\0\2" * 8_000_000 + whole[2:])
    assert time.process_time() - started < 1, "walked to its end it takes seven seconds"


def test_sides_that_opencv_does_not_take_are_refused_in_our_words():
    with pytest.raises(UnreadableImageError, match=r"^damaged BMP$"):
        decode(_with_sides("BMP", 1 << 21, 2))


@pytest.mark.parametrize("kind", ["AVIF", "HEIF"])
def test_damaged_exif_is_no_reason_to_stop(kind):
    """Pillow warns of it, and a warning is an error here."""
    exif = Image.Exif()
    exif[0x010F], exif[0x8769] = "maker", {0x9003: "2024:01:01 00:00:00"}
    file, chance = io.BytesIO(), random.Random(kind)
    Image.fromarray(picture(1, 24, 24)).save(file, format=kind, exif=exif)
    start = file.getvalue().index(b"MM\0*")
    for _ in range(300):
        data = bytearray(file.getvalue())
        data[start + chance.randrange(60)] = chance.randrange(256)
        with contextlib.suppress(UnreadableImageError):
            assert decode(bytes(data)).shape == (24, 24, 3)


NAMES = [
    "with space.jpg",
    "quote'\".jpg",
    "comma,semi;colon.jpg",
    "new\nline.jpg",
    "tab\t.jpg",
    "=1+1.jpg",
    "NA.jpg",
    "日本語.jpg",
    "עברית.jpg",
    "हिन्दी.jpg",
    "🗑️.jpg",
    "e\u0301.jpg",
    "\u00e9.jpg",
    "%20&?#.jpg",
    "-rf.jpg",
]


def test_every_name_comes_through_the_tables(images, tmp_path):
    root = images(glass=1, metal=1)
    for index, name in enumerate(NAMES):
        cv2.imwrite(str(tmp_path / "plain.jpg"), picture(50 + index))
        (tmp_path / "plain.jpg").rename(root / "glass" / name)
    accepted, rejected, _ = manifest.scan(root)
    assert rejected.empty
    write_csv(tmp_path / "manifest.csv", accepted)
    again = read_csv(tmp_path / "manifest.csv")
    assert again.astype(accepted.dtypes).equals(accepted)
    assert {path.removeprefix("glass/") for path in again["path"]} >= set(NAMES)
    assert len(read_many([root / path for path in again["path"]], 16)) == len(NAMES) + 2
    with (tmp_path / "manifest.csv").open(newline="", encoding="utf-8") as file:
        assert len(list(csv.reader(file))) == len(NAMES) + 3


def test_the_same_bytes_twice(images):
    root = images(glass=2, metal=2)
    (root / "glass/again.jpg").write_bytes((root / "glass/glass_1.jpg").read_bytes())
    accepted, rejected, _ = manifest.scan(root)
    assert (len(accepted), len(rejected)) == (5, 0)
    assert manifest.summary(accepted, rejected)["duplicates"] == 1
    (root / "metal/glass.jpg").write_bytes((root / "glass/glass_1.jpg").read_bytes())
    accepted, rejected, _ = manifest.scan(root)
    assert len(accepted) == 3
    assert dict(rejected.to_numpy().tolist()) == {
        "glass/again.jpg": "label conflict: the same bytes as metal/glass.jpg",
        "glass/glass_1.jpg": "label conflict: the same bytes as metal/glass.jpg",
        "metal/glass.jpg": "label conflict: the same bytes as glass/again.jpg and glass/glass_1.jpg",
    }


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_nobody_may_read_is_rejected_with_the_reason(images):
    root = images(glass=2, metal=1)
    (root / "glass/glass_1.jpg").chmod(0)
    _, rejected, _ = manifest.scan(root)
    assert rejected["reason"].tolist() == ["cannot be opened: Permission denied"]


def test_the_three_readers_agree(images, tmp_path):
    """validate_images decodes; train_cnn and lr_sweep, embed_* and evaluate read: the same pixels."""
    root = images(glass=3, metal=3)
    _flat("CMYK", (0, 255, 255, 0), "cmyk.jpg", root / "glass")
    _flat("RGBA", (9, 200, 3, 128), "alpha.png", root / "metal")
    accepted, *_ = manifest.scan(root)
    files = [root / path for path in accepted["path"]]
    validated = [decode(file.read_bytes()) for file in files]
    assert [image.shape[:2] for image in validated] == list(zip(accepted["height"], accepted["width"], strict=True))
    split = accepted.assign(split=["train", "val"] * (len(accepted) // 2))
    train, val, _ = samples.pictures(split, root, 40, "memory")
    embedded = np.concatenate(list(read_ahead(files, 40, 3)))
    np.testing.assert_array_equal(train.inputs[np.arange(4)], embedded[::2])
    np.testing.assert_array_equal(val.inputs[np.arange(4)], embedded[1::2])
    for image, pixels in zip(validated, embedded, strict=True):
        if image.shape == pixels.shape:
            np.testing.assert_array_equal(image, pixels)


SEEDS = [".jpg", ".png", ".webp", ".gif", ".bmp", ".tiff", ".avif", ".heif"]


def _encoded(suffix: str, pixels: np.ndarray) -> bytes:
    if suffix != ".heif":
        return cv2.imencode(suffix, pixels)[1].tobytes()
    file = io.BytesIO()
    pillow_heif.from_pillow(Image.fromarray(pixels)).save(file)
    return file.getvalue()


def _mutated(data: bytes, chance: random.Random) -> bytes:
    changed = bytearray(data)
    kind = chance.randrange(5)
    if kind == 0:
        return bytes(changed[: chance.randrange(len(changed))])
    if kind == 1:
        start = chance.randrange(len(changed))
        del changed[start : start + chance.randrange(1, 40)]
    elif kind == 2:
        place = chance.randrange(len(changed))
        changed[place:place] = chance.randbytes(chance.randrange(1, 40))
    for _ in range(chance.choice([1, 2, 8, 64])):
        # The head of a file holds sizes and kinds: half of the changes go there.
        reach = min(len(changed), 64) if chance.random() < 0.5 else len(changed)
        if reach:
            changed[chance.randrange(reach)] = chance.randrange(256)
    return bytes(changed)


@pytest.mark.parametrize("suffix", SEEDS)
@pytest.mark.parametrize("mutants", [400, pytest.param(2000, marks=pytest.mark.release)])
def test_mutants_of_a_kind(suffix, mutants, tmp_path, capfd):
    """Each is refused with a reason, or read, and read the same again; with eight kinds 16,000 before a release."""
    chance = random.Random(suffix)
    originals = [_encoded(suffix, picture(seed, 24, 24)) for seed in range(4)]
    read_again, refused = 0, 0
    path = tmp_path / f"mutant{suffix}"
    for _ in range(mutants):
        data = _mutated(chance.choice(originals), chance)
        try:
            image = decode(data)
        except UnreadableImageError as error:
            refused += bool(str(error))
            continue
        assert image.ndim == 3
        assert image.shape[2] == 3
        assert image.dtype == np.uint8
        path.write_bytes(data)
        assert read(path, 16).shape == (16, 16, 3)
        read_again += 1
    assert "OpenCV" not in capfd.readouterr().err
    assert read_again + refused == mutants
    # A PNG guards its bytes by checksums: one in a thousand gets through.
    assert read_again > 0 or (suffix == ".png" and mutants < 2000)
    assert refused > mutants / 100
