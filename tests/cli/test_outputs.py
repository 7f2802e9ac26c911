"""What commands write never takes the place of a folder or file that this project did not write."""

import csv
import errno
import io
import json
import os
import shlex
import shutil
import subprocess
import sys
from types import SimpleNamespace

import colours
import numpy as np
import pandas as pd
import pytest
from colours import BLUE, RED, photo
from typer.testing import CliRunner, Result

from benchmarks.parts.child import ROOT
from realwaste.__main__ import app
from realwaste.cli import choose_selection, model_loading, predictions_csv, report_runs
from realwaste.core.files import atomic_replace, read_csv, write_csv, write_json
from realwaste.evaluation import overlays
from realwaste.images.reader import decode_image
from realwaste.models import export_target, image_predictions


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

    monkeypatch.setattr(model_loading, "open_session", load)
    monkeypatch.setattr(model_loading, "load_classifier", load)
    monkeypatch.setattr(report_runs, "load_folder", load)
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
    with pytest.raises(FileExistsError), atomic_replace(tmp_path / "a") as temporary:
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
    assert "a list of an earlier run without labels" in " ".join(
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
    monkeypatch.setitem(sys.modules, "realwaste.evaluation.grad_cam", SimpleNamespace(GradCam=_GradCam))

    def loaded(path):
        return SimpleNamespace(facts=colours.open_session(path).facts, model=None)

    monkeypatch.setattr(model_loading, "load_classifier", loaded)
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
    np.testing.assert_array_equal(decode_image(written), decode_image((heated / "photos/red.png").read_bytes()))


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


NO_ROOM = OSError(errno.ENOSPC, "No space left on device")


def test_a_second_run_with_the_same_csv_is_refused_while_the_first_goes_on(here, monkeypatch):
    (here / "link.csv").unlink()
    (here / "link.csv").symlink_to("a.csv")
    refused: list[Result] = []
    original = model_loading.open_session

    def open_session(path, max_images):
        if not refused:
            refused.append(CliRunner().invoke(app, [*PREDICT, "--csv", "link.csv"]))
        return original(path, max_images)

    monkeypatch.setattr(model_loading, "open_session", open_session)
    _do(*PREDICT, "--csv", "a.csv")
    (second,) = refused
    assert second.exit_code == 1
    assert "One process at a time may write" in " ".join(second.stderr.split())
    assert len(_rows(here / "a.csv")) == 2
    _do(*PREDICT, "--csv", "a.csv")


HOLD = """
import sys
from pathlib import Path
from realwaste.cli import predictions_csv
with predictions_csv.lock(Path("a.csv")):
    print("held", flush=True)
    sys.stdin.readline()
"""


def test_a_run_in_another_process_counts_too_and_one_that_was_killed_does_not(here):
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    with subprocess.Popen(
        [sys.executable, "-c", HOLD], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        assert "One process at a time" in _do(*PREDICT, "--csv", "a.csv", status=1).stderr
        holder.kill()
        holder.wait(60)
    _do(*PREDICT, "--csv", "a.csv")
    assert [path.name for path in here.iterdir() if path.name.startswith((".tmp-", "a.csv"))] == ["a.csv"]


@pytest.mark.parametrize("option", ["--overlay", "--sort-into"])
@pytest.mark.parametrize("becomes", ["nothing", "a folder", "no picture"])
def test_a_photo_that_goes_after_its_answer_has_the_reason_in_its_row(option, becomes, heated, monkeypatch):
    def gone(answers):
        for answer in answers:
            if answer.path.name == "blue.png":
                answer.path.unlink()
                if becomes == "a folder":
                    answer.path.mkdir()
                elif becomes == "no picture" and option == "--overlay":
                    answer.path.write_text("words")
            yield answer

    judged = image_predictions.apply_min_confidence
    monkeypatch.setattr(image_predictions, "apply_min_confidence", lambda answers, least: gone(judged(answers, least)))
    done = _do(*PREDICT, option, "to", "--csv", "a.csv", "--json", status=1)
    told = {one["path"]: one for one in json.loads(done.stdout)["answers"]}
    blue, red = told["photos/blue.png"], told["photos/red.png"]
    assert (blue["answer"], red["answer"], red["error"]) == ("Blue", "Red", None)
    assert blue["error"].startswith("no overlay" if option == "--overlay" else "not copied")
    assert len(list((heated / "to").rglob("*.png"))) == 1
    rows = {row["path"]: row for row in _rows(heated / "a.csv")}
    assert (rows["photos/blue.png"]["class"], rows["photos/blue.png"]["error"]) == ("Blue", blue["error"])
    assert "1 of 2 photos have no prediction, copy or overlay" in " ".join(done.stderr.split())


def test_the_table_has_the_answer_and_the_reason(here):
    (here / "sorted").mkdir()
    (here / "sorted/Red").write_text("a person's own")
    line = next(one for one in _do(*PREDICT, "--sort-into", "sorted", status=1).stdout.splitlines() if "red.png" in one)
    assert line.split()[1] == "Red"
    assert "not copied to sorted/Red: " in line


def test_a_disk_that_is_full_for_one_copy_is_said_by_its_target_and_the_rest_goes_on(here, monkeypatch):
    copy = shutil.copy2

    def full(source, target):
        if source.name == "blue.png":
            raise NO_ROOM
        return copy(source, target)

    monkeypatch.setattr(shutil, "copy2", full)
    told = _answers(*PREDICT, "--sort-into", "sorted", status=1)
    assert told["photos/blue.png"]["error"] == "not copied to sorted/Blue: No space left on device"
    assert told["photos/red.png"]["copy"] == "sorted/Red/red.png"


def test_links_among_the_copies_are_neither_followed_nor_replaced(here):
    (here / "elsewhere").mkdir()
    (here / "sorted/Red").mkdir(parents=True)
    (here / "sorted/Red/red.png").symlink_to("nowhere")
    (here / "sorted/Blue").symlink_to(here / "elsewhere")
    told = _answers(*PREDICT, "--sort-into", "sorted", status=1)
    assert told["photos/red.png"]["copy"] == "sorted/Red/red-2.png"
    assert "it is a link, which is not followed" in told["photos/blue.png"]["error"]
    assert (here / "sorted/Red/red.png").is_symlink()
    assert list((here / "elsewhere").iterdir()) == []


LONG = ["x" * 251 + ".png", "ü" * 125 + ".png", "y" * 245 + ".png"]


def test_names_as_long_as_can_be_are_copied_overlaid_and_do_not_stop_the_others(heated):
    shutil.rmtree(heated / "photos")
    for number, name in enumerate(LONG):
        photo(heated / "photos" / name, RED)
        photo(heated / f"more/{number}" / name, RED, shade=7)
    colours.save(heated / "models/cnn.keras", ("Blue", "Green", "ß" * 200))
    for _ in range(2):
        told = _answers(*PREDICT, "more", "--sort-into", "sorted", "--overlay", "ov")
        assert {one["error"] for one in told.values()} == {None}
        assert len({one["copy"] for one in told.values()}) == 6
        assert len({one["overlay"] for one in told.values()}) == 6
    assert len(list((heated / "sorted").rglob("*.png"))) == 6
    assert len(list((heated / "ov").iterdir())) == 6
    for one in told.values():
        assert (heated / one["copy"]).read_bytes() == (heated / one["path"]).read_bytes()


NAMES = ["a\rb.png", "a\r\nb.png", "a;b.png", 'a"b.png', "a,b.png", " a.png", "=a.png", "\ra.png", "a\tb.png"]


@pytest.mark.parametrize("verb", [PREDICT, CHOOSE])
def test_every_name_comes_back_from_a_csv(verb, here):
    for name in NAMES:
        photo(here / "photos" / name, RED)
    _do(*verb, "--csv", "a.csv")
    data = (here / "a.csv").read_bytes()
    assert data.startswith(b"\xef\xbb\xbf")
    paths = {row["path"] for row in _rows(here / "a.csv")}
    assert {f"photos/{name}" for name in NAMES} <= paths
    assert {f"photos/{name}" for name in NAMES} <= set(pd.read_csv(here / "a.csv")["path"])
    assert b'"photos/a;b.png"' in data
    assert {len(row) for row in csv.reader(io.StringIO(data.decode("utf-8-sig"), newline=""))} == {
        len(_rows(here / "a.csv")[0])
    }


def test_no_name_or_class_becomes_a_formula_in_a_list_of_choose(here, monkeypatch):
    colours.save(here / "models/cnn.keras", ("Blue", "Green", "=HYPERLINK(0)"))
    (here / "=1.png").write_bytes((here / "photos/red.png").read_bytes())
    _do("choose", "-m", "cnn", "--csv", "a.csv", "--", "=1.png")
    (row,) = _rows(here / "a.csv")
    assert (row["path"], row["best"]) == ("./=1.png", "'=HYPERLINK(0)")


def test_a_carriage_return_comes_back_from_a_table_of_a_stage(tmp_path):
    table = pd.DataFrame({"path": ["a\rb.jpg", "c.jpg"], "n": [1, 2], "share": [0.1, None]})
    write_csv(tmp_path / "a.csv", table)
    pd.testing.assert_frame_equal(read_csv(tmp_path / "a.csv"), table)
    write_csv(tmp_path / "b.csv", table.iloc[1:])
    assert (tmp_path / "b.csv").read_text() == "path,n,share\nc.jpg,2,\n"


@pytest.mark.parametrize("kept", range(1, 29))
def test_a_row_torn_inside_its_quotes_swallows_no_other(kept, tmp_path):
    """A run killed in a row: what the next run adds stands in rows of its own."""
    header, file = ["path", "class", "error"], tmp_path / "a.csv"
    with predictions_csv.append_rows(file, header) as write:
        write(["a.png", "Red", None])
        begin = file.stat().st_size
        write(["b,1.png", "Red", 'a "b", c\nd'])
    with file.open("r+b") as torn:
        torn.truncate(begin + kept)
    whole = predictions_csv.read_paths(file)
    assert "a.png" in whole
    with predictions_csv.append_rows(file, header) as write:
        write(["c.png", "Blue", None])
    with file.open(encoding="utf-8-sig", newline="") as opened:
        rows = list(csv.reader(opened))
    assert rows[1] == ["a.png", "Red", ""]
    assert rows[-1] == ["c.png", "Blue", ""]
    assert len(rows) == 4


def test_choose_finds_out_that_it_cannot_write_before_it_predicts(here, monkeypatch):
    def full(*_, **__):
        raise NO_ROOM

    monkeypatch.setattr("tempfile.TemporaryFile", full)
    monkeypatch.setattr(model_loading, "open_session", None)
    for option in (["--csv", "a.csv"], ["--sheet", "a.png"]):
        done = _do(*CHOOSE, *option, status=1)
        assert isinstance(done.exception, SystemExit)
        assert "No space left on device" in " ".join(done.stderr.split())


def test_a_full_disk_loses_no_answers_of_choose(here, monkeypatch):
    def full(*_, **__):
        raise NO_ROOM

    monkeypatch.setattr("realwaste.cli.choose_sheet.write_sheet", full)
    done = _do(*CHOOSE, "--sheet", "a.png", "--csv", "a.csv", status=1)
    assert isinstance(done.exception, SystemExit)
    assert "photos/red.png" in done.stdout
    assert len(_rows(here / "a.csv")) == 2
    assert "There must be room to write" in " ".join(done.stderr.split())


def test_a_photo_that_goes_before_the_sheet_is_drawn_is_named(here, monkeypatch):
    select_photos = choose_selection.select_photos

    def gone(*arguments):
        (here / "photos/blue.png").unlink()
        (here / "photos/blue.png").mkdir()
        (here / "photos/red.png").unlink()
        return select_photos(*arguments)

    monkeypatch.setattr(choose_selection, "select_photos", gone)
    done = _do(*CHOOSE, "--sheet", "a.png", "--json", status=1)
    assert len(json.loads(done.stdout)["chosen"]) == 2
    said = " ".join(done.stderr.split())
    assert "the sheet does not show photos/blue.png: not a regular file" in said
    assert "the sheet does not show photos/red.png: No such file or directory" in said
    assert (here / "a.png").is_file()


PROCESS = """
import colours
from realwaste.cli import model_loading
model_loading.open_session = colours.open_session
from realwaste.__main__ import main
main()
"""


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_closed_standard_streams_stop_nothing(closed, here):
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, (ROOT / "src", ROOT / "tests")))}
    command = f"{shlex.quote(sys.executable)} -c {shlex.quote(PROCESS)} predict -m cnn photos --csv a.csv {closed}"
    shell = ["sh", "-c", command]
    done = subprocess.run(shell, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert "Traceback" not in done.stderr
    assert done.returncode == 0
    assert [row["class"] for row in _rows(here / "a.csv")] == ["Blue", "Red"]
