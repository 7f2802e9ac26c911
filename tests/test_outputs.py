"""What commands write never takes the place of a folder or file that this project did not write."""

import csv
import json
import os
import sys
from types import SimpleNamespace

import colours
import numpy as np
import pytest
from colours import BLUE, RED, photo
from typer.testing import CliRunner

from realwaste.__main__ import app
from realwaste.commands import export_target, opening
from realwaste.core.files import replacing, write_json
from realwaste.explanation import overlays
from realwaste.images.reader import decode


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A present folder with a model of colours, photographs, and a person's own files and folders."""
    colours.use(monkeypatch)
    monkeypatch.chdir(tmp_path)
    colours.save(tmp_path / "models/cnn.keras")
    for name, colour in {"blue": BLUE, "red": RED}.items():
        photo(tmp_path / f"photos/{name}.png", colour)
        photo(tmp_path / f"keep/{name}.jpg", colour)
        photo(tmp_path / f"keep.jpg/{name}.jpg", colour)
    photo(tmp_path / "own.jpg", RED)
    (tmp_path / "labels.csv").write_text("path,label\na.jpg,Glass\n")
    (tmp_path / "own.html").write_text("<!doctype html><title>mine</title>")
    (tmp_path / "own.onnx").write_bytes(b"\x08\x07mine")
    (tmp_path / "own.tflite").write_bytes(b"mine")
    os.mkfifo(tmp_path / "pipe.csv")
    (tmp_path / "link.csv").symlink_to("labels.csv")
    (tmp_path / "loop.csv").symlink_to("loop.csv")
    return tmp_path


def _entries(root):
    return {path: path.read_bytes() if path.is_file() else None for path in sorted(root.rglob("*"))}


PREDICT, CHOOSE = ["predict", "-m", "cnn", "photos"], ["choose", "-m", "cnn", "photos"]
REPORT, EXPORT = ["report", "--against", "HEAD"], ["export", "-m", "cnn", "-f"]


@pytest.mark.parametrize(
    "arguments",
    [
        *([*PREDICT, "--csv", name] for name in ("keep", "own.jpg", "labels.csv", "link.csv", "pipe.csv", "loop.csv")),
        [*PREDICT, "--csv", "photos/new.jpg"],
        *([*PREDICT, "--csv", name] for name in ("models/cnn.keras", ".", "", "/dev/null", "photos/red.png")),
        *([*PREDICT, option, "own.jpg"] for option in ("--overlay", "--sort-into")),
        *([*CHOOSE, "--csv", name] for name in ("keep", "photos", "own.jpg", "labels.csv", "photos/red.png", "")),
        [*CHOOSE, "--csv", "photos/new.png"],
        *([*CHOOSE, "--sheet", name] for name in ("keep.jpg", "own.jpg", "photos/red.png", "photos/new.png", "")),
        [*CHOOSE, "--csv", "a.png", "--sheet", "./a.png"],
        *([*REPORT, "--output", name] for name in ("keep", ".", "", "own.html", "own.jpg", "/dev/null")),
        *([*EXPORT, "saved_model", "-o", name] for name in ("keep", "keep.jpg", ".", "", "..", "own.html")),
        *([*EXPORT, "onnx", "-o", name] for name in ("own.onnx", "keep", ".", "")),
        *([*EXPORT, "litert", "-o", name] for name in ("own.tflite", "keep", "")),
    ],
    ids=" ".join,
)
def test_an_option_that_names_something_else_is_refused_in_two_lines_before_a_model_is_loaded(
    arguments, here, monkeypatch
):
    def load(*_, **__):
        raise AssertionError("a model is loaded")

    monkeypatch.setattr(opening, "session_of", load)
    monkeypatch.setattr(opening, "loaded", load)
    before = _entries(here)
    done = CliRunner().invoke(app, arguments)
    assert isinstance(done.exception, SystemExit), done.exception
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.count("ERROR") == 1
    assert _entries(here) == before


@pytest.mark.parametrize("make", [lambda path: path.mkdir(), os.mkfifo, lambda path: path.symlink_to("nowhere")])
def test_what_is_no_file_is_never_replaced(make, tmp_path):
    make(tmp_path / "a.json")
    before = list(tmp_path.iterdir())
    with pytest.raises(FileExistsError, match="something else is there"):
        write_json(tmp_path / "a.json", {})
    assert list(tmp_path.iterdir()) == before


def test_a_folder_that_came_meanwhile_stays(tmp_path):
    with pytest.raises(FileExistsError), replacing(tmp_path / "a") as temporary:
        temporary.write_text("new")
        (tmp_path / "a").mkdir()
        (tmp_path / "a/mine").touch()
    assert [path.name for path in tmp_path.rglob("*")] == ["a", "mine"]


def _do(*arguments, status=0):
    done = CliRunner().invoke(app, list(map(str, arguments)))
    assert done.exit_code == status, (done.stderr, done.exception)
    return done


def test_outputs_of_earlier_runs_are_replaced_and_links_are_followed(here):
    (here / "to.csv").symlink_to("real.csv")
    for _ in range(2):
        _do(*PREDICT, "--csv", "a.csv")
        _do(*PREDICT, "--csv", "to.csv")
        _do("predict", "photos", "--all-models", "--csv", "all.csv")
        _do(*CHOOSE, "--csv", "todo.csv", "--sheet", "sheet.jpg")
        _do(*CHOOSE, "--sheet", "sheet.png")
    assert (here / "to.csv").is_symlink()
    assert (here / "real.csv").is_file()
    assert not [path for path in here.rglob("*") if path.name.startswith(".tmp-") or path.suffix == ".part"]


def test_a_list_with_labels_is_never_replaced(here):
    _do(*CHOOSE, "--csv", "todo.csv")
    text = (here / "todo.csv").read_text(encoding="utf-8-sig").replace("red.png,,", "red.png,Glass,")
    (here / "todo.csv").write_text(text, encoding="utf-8")
    assert "a list of an earlier run without a label" in " ".join(
        _do(*CHOOSE, "--csv", "todo.csv", status=1).stderr.split()
    )
    assert (here / "todo.csv").read_text(encoding="utf-8") == text


class _GradCam:
    def __init__(self, model):
        pass

    def heat(self, pixels, classes):
        return np.zeros((len(pixels), 4, 4), np.float32)


@pytest.fixture
def heated(here, monkeypatch):
    """Overlays without TensorFlow."""
    monkeypatch.setitem(sys.modules, "realwaste.explanation.grad_cam", SimpleNamespace(GradCam=_GradCam))
    facts = colours.opened(here / "models/cnn.keras").facts
    monkeypatch.setattr(opening, "loaded", lambda path: SimpleNamespace(facts=facts, model=None))
    return here


def _answers(*arguments, status=0):
    return {one["path"]: one for one in json.loads(_do(*arguments, "--json", status=status).stdout)["answers"]}


def test_overlays_replace_overlays_and_nothing_else(heated):
    photo(heated / "ov/red_Red.png", BLUE)
    mine = (heated / "ov/red_Red.png").read_bytes()
    photo(heated / "ov/blue_Blue.png/mine.png", BLUE)
    (heated / "ov/blue_Blue-2.png").symlink_to("nowhere")
    for _ in range(2):
        told = _answers(*PREDICT, "--overlay", "ov")
        assert {one["overlay"] for one in told.values()} == {"ov/red_Red-2.png", "ov/blue_Blue-3.png"}
    assert (heated / "ov/red_Red.png").read_bytes() == mine
    assert (heated / "ov/blue_Blue.png/mine.png").is_file()
    assert (heated / "ov/blue_Blue-2.png").is_symlink()
    assert sorted(path.name for path in (heated / "ov").iterdir()) == [
        *("blue_Blue-2.png", "blue_Blue-3.png", "blue_Blue.png", "red_Red-2.png", "red_Red.png"),
    ]
    written = (heated / "ov/red_Red-2.png").read_bytes()
    assert overlays.MARK in written
    np.testing.assert_array_equal(decode(written), decode((heated / "photos/red.png").read_bytes()))


def _export(folder):
    for name in (
        "saved_model.pb",
        "fingerprint.pb",
        "variables/variables.index",
        "variables/variables.data-00000-of-00001",
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    (folder / "assets").mkdir()
    record = {"classes": [], "image_size": 8, "temperature": 1.0, "input": "RGB"}
    (folder / "realwaste.json").write_text(json.dumps(record))
    return folder


@pytest.mark.parametrize("own", [None, "a.jpg", "assets/a.txt", "variables/a.jpg", "deep/a.jpg", "realwaste.json"])
def test_an_export_with_a_person_s_file_in_its_folder_is_no_export_to_replace(own, tmp_path):
    folder = _export(tmp_path / "model")
    if own:
        (folder / own).parent.mkdir(exist_ok=True)
        (folder / own).write_text("mine")
    assert export_target.is_saved_model(folder) == (own is None)
    (tmp_path / "link").symlink_to(folder)
    assert not export_target.is_saved_model(tmp_path / "link")


def _rows(file):
    with file.open(encoding="utf-8-sig", newline="") as opened:
        return list(csv.DictReader(opened))
