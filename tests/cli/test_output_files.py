"""Commands never replace a file or folder that this project did not write."""

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
from colours import BLUE, RED, command_with_colours, photo, process_environment, read_rows, run, run_json, words
from typer.testing import CliRunner

from realwaste.__main__ import app
from realwaste.cli import choose_selection, model_loading, predictions_csv
from realwaste.evaluation import overlays
from realwaste.images.reader import decode_image
from realwaste.models import image_predictions
from realwaste.report import run_files


@pytest.fixture
def project(tmp_path, monkeypatch):
    """The current folder: a model of colours, photographs, and files and folders of the user."""
    colours.prepare(tmp_path, monkeypatch)
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


def _read_tree(root):
    return {path: path.read_bytes() if path.is_file() else None for path in sorted(root.rglob("*"))}


PREDICT, CHOOSE = ["predict", "-m", "cnn", "photos"], ["choose", "-m", "cnn", "photos"]
REPORT, EXPORT = ["report", "--against", "HEAD"], ["export", "-m", "cnn", "-f"]


@pytest.mark.parametrize(
    "arguments",
    [
        *([*PREDICT, "--csv", name] for name in ("keep", "own.jpg", "labels.csv", "link.csv", "pipe.csv", "loop.csv")),
        [*PREDICT, "--csv", "photos/new.jpg"],
        *([*PREDICT, "--csv", name] for name in ("models/cnn.keras", ".", "", "/dev/null", "photos/red.png")),
        *([*PREDICT, "--overlay", name] for name in ("own.jpg", "photos/new", "/proc")),
        [*PREDICT, "--sort-into", "own.jpg"],
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
def test_an_output_option_that_names_a_foreign_file_is_refused_before_a_model_is_loaded(
    arguments, project, monkeypatch
):
    def fail(*_, **__):
        raise AssertionError("a model is loaded")

    monkeypatch.setattr(model_loading, "open_session", fail)
    monkeypatch.setattr(model_loading, "load_classifier", fail)
    monkeypatch.setattr(run_files, "load_folder", fail)
    entries_before = _read_tree(project)
    result = CliRunner().invoke(app, arguments)
    assert isinstance(result.exception, SystemExit), result.exception
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.count("ERROR") == 1
    assert _read_tree(project) == entries_before


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        ("photos", "a file that can be written, and photos cannot be"),
        ("photos/red.png", "another file than the photographs"),
        ("labels.csv", "a new file, or the predictions of an earlier run"),
    ],
)
def test_the_reason_for_a_refused_csv_is_named(file, reason, project):
    assert reason in words(run(*PREDICT, "--csv", file, status=1).stderr)


def test_outputs_of_earlier_runs_are_replaced_and_links_are_followed(project):
    (project / "to.csv").symlink_to("real.csv")
    for _ in range(2):
        run(*PREDICT, "--csv", "a.csv")
        run(*PREDICT, "--csv", "to.csv")
        run("predict", "photos", "--all-models", "--csv", "all.csv")
        run(*CHOOSE, "--csv", "todo.csv", "--sheet", "sheet.jpg")
        run(*CHOOSE, "--sheet", "sheet.png")
    assert (project / "to.csv").is_symlink()
    assert (project / "real.csv").is_file()
    assert not [path for path in project.rglob("*") if path.name.startswith(".tmp-") or path.suffix == ".part"]


def test_a_list_with_labels_is_never_replaced(project):
    run(*CHOOSE, "--csv", "todo.csv")
    text = (project / "todo.csv").read_text(encoding="utf-8-sig").replace("red.png,,", "red.png,Glass,")
    (project / "todo.csv").write_text(text, encoding="utf-8")
    assert "a list of an earlier run without labels" in words(run(*CHOOSE, "--csv", "todo.csv", status=1).stderr)
    assert (project / "todo.csv").read_text(encoding="utf-8") == text


class _ZeroGradCam:
    def __init__(self, model):
        pass

    def heat(self, pixels, classes):
        return np.zeros((len(pixels), 4, 4), np.float32)


@pytest.fixture
def overlay_project(project, monkeypatch):
    """The project with heat maps of zeros, so that overlays need no TensorFlow."""
    monkeypatch.setitem(sys.modules, "realwaste.evaluation.grad_cam", SimpleNamespace(GradCam=_ZeroGradCam))

    def load_metadata(path):
        return SimpleNamespace(metadata=colours.open_session(path).metadata, model=None)

    monkeypatch.setattr(model_loading, "load_classifier", load_metadata)
    return project


def _predictions_by_path(*arguments, status=0):
    return {record["path"]: record for record in run_json(*arguments, status=status)["answers"]}


def test_overlays_replace_overlays_and_nothing_else(overlay_project):
    photo(overlay_project / "ov/red_Red.png", BLUE)
    foreign_bytes = (overlay_project / "ov/red_Red.png").read_bytes()
    photo(overlay_project / "ov/blue_Blue.png/mine.png", BLUE)
    (overlay_project / "ov/blue_Blue-2.png").symlink_to("nowhere")
    for _ in range(2):
        by_path = _predictions_by_path(*PREDICT, "--overlay", "ov")
        assert {record["overlay"] for record in by_path.values()} == {"ov/red_Red-2.png", "ov/blue_Blue-3.png"}
    assert (overlay_project / "ov/red_Red.png").read_bytes() == foreign_bytes
    assert (overlay_project / "ov/blue_Blue.png/mine.png").is_file()
    assert (overlay_project / "ov/blue_Blue-2.png").is_symlink()
    names = {path.name for path in (overlay_project / "ov").iterdir()}
    assert names == {f"blue_Blue{end}.png" for end in ("-2", "-3", "")} | {"red_Red-2.png", "red_Red.png"}
    overlay = (overlay_project / "ov/red_Red-2.png").read_bytes()
    assert overlays.MARK in overlay
    red = (overlay_project / "photos/red.png").read_bytes()
    np.testing.assert_array_equal(decode_image(overlay), decode_image(red))


DISK_FULL = OSError(errno.ENOSPC, "No space left on device")


LOCK_SCRIPT = """
import sys
from pathlib import Path
from realwaste.cli import predictions_csv
with predictions_csv.lock(Path("link.csv")):
    print("held", flush=True)
    sys.stdin.readline()
"""


def test_a_run_in_another_process_locks_the_csv_until_it_is_killed(project):
    (project / "link.csv").unlink()
    (project / "link.csv").symlink_to("a.csv")
    command, environment = [sys.executable, "-c", LOCK_SCRIPT], process_environment()
    with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        assert "One process at a time may write" in run(*PREDICT, "--csv", "a.csv", status=1).stderr
        holder.kill()
        holder.wait(60)
    run(*PREDICT, "--csv", "a.csv")
    assert len(read_rows(project / "a.csv")) == 2
    assert [path.name for path in project.iterdir() if path.name.startswith((".tmp-", "a.csv"))] == ["a.csv"]


@pytest.mark.parametrize(
    ("option", "replaced_by"), [("--overlay", "no picture"), ("--overlay", "nothing"), ("--sort-into", "a folder")]
)
def test_a_photo_deleted_after_its_prediction_has_the_reason_in_its_row(
    option, replaced_by, overlay_project, monkeypatch
):
    def delete_after_prediction(predictions, min_confidence):
        for prediction in predictions:
            if prediction.path.name == "blue.png":
                prediction.path.unlink()
                if replaced_by == "a folder":
                    prediction.path.mkdir()
                elif replaced_by == "no picture":
                    prediction.path.write_text("words")
            yield prediction

    monkeypatch.setattr(image_predictions, "apply_min_confidence", delete_after_prediction)
    result = run(*PREDICT, option, "to", "--csv", "a.csv", "--json", status=1)
    blue, red = json.loads(result.stdout)["answers"]
    assert (blue["answer"], red["answer"], red["error"]) == ("Blue", "Red", None)
    assert blue["error"].startswith("no overlay" if option == "--overlay" else "not copied")
    assert len(list((overlay_project / "to").rglob("*.png"))) == 1
    row = read_rows(overlay_project / "a.csv")[0]
    assert (row["path"], row["class"], row["error"]) == ("photos/blue.png", "Blue", blue["error"])
    assert "1 of 2 photos failed (prediction, copy or overlay)" in words(result.stderr)


def test_a_full_disk_is_an_error_of_that_copy_only(project, monkeypatch):
    copy = shutil.copy2

    def copy_on_full_disk(source, target):
        if source.name == "blue.png":
            raise DISK_FULL
        return copy(source, target)

    monkeypatch.setattr(shutil, "copy2", copy_on_full_disk)
    by_path = _predictions_by_path(*PREDICT, "--sort-into", "sorted", status=1)
    assert by_path["photos/blue.png"]["error"] == "not copied to sorted/Blue: No space left on device"
    assert by_path["photos/red.png"]["copy"] == "sorted/Red/red.png"


def test_links_in_the_sorted_folder_are_neither_followed_nor_replaced(project):
    (project / "elsewhere").mkdir()
    (project / "sorted/Red").mkdir(parents=True)
    (project / "sorted/Red/red.png").symlink_to("nowhere")
    (project / "sorted/Blue").symlink_to(project / "elsewhere")
    by_path = _predictions_by_path(*PREDICT, "--sort-into", "sorted", status=1)
    (line,) = [line for line in run(*PREDICT, "--sort-into", "sorted", status=1).stdout.splitlines() if "blue" in line]
    assert line.split()[1] == "Blue"
    assert "not copied to sorted/Blue: it is a link" in line
    assert by_path["photos/red.png"]["copy"] == "sorted/Red/red-2.png"
    assert "it is a link, which is not followed" in by_path["photos/blue.png"]["error"]
    assert (project / "sorted/Red/red.png").is_symlink()
    assert list((project / "elsewhere").iterdir()) == []


LONG_NAMES = ["x" * 251 + ".png", "ü" * 125 + ".png", "y" * 245 + ".png"]


def test_photos_with_the_longest_possible_names_have_copies_and_overlays(overlay_project):
    shutil.rmtree(overlay_project / "photos")
    for number, name in enumerate(LONG_NAMES):
        photo(overlay_project / "photos" / name, RED)
        photo(overlay_project / f"more/{number}" / name, RED, shade=7)
    colours.save(overlay_project / "models/cnn.keras", ("Blue", "Green", "ß" * 200))
    for _ in range(2):
        by_path = _predictions_by_path(*PREDICT, "more", "--sort-into", "sorted", "--overlay", "ov")
        assert {record["error"] for record in by_path.values()} == {None}
        for key in ("copy", "overlay"):
            assert len({record[key] for record in by_path.values()}) == 6
    assert len(list((overlay_project / "sorted").rglob("*.png"))) == 6
    assert len(list((overlay_project / "ov").iterdir())) == 6
    for record in by_path.values():
        assert (overlay_project / record["copy"]).read_bytes() == (overlay_project / record["path"]).read_bytes()


UNUSUAL_NAMES = ["a\rb.png", "a\r\nb.png", "a;b.png", 'a"b.png', "a,b.png", " a.png", "=a.png", "\ra.png", "a\tb.png"]


@pytest.mark.parametrize("verb", [PREDICT, CHOOSE])
def test_every_name_is_read_back_from_a_csv(verb, project):
    for name in UNUSUAL_NAMES:
        photo(project / "photos" / name, RED)
    run(*verb, "--csv", "a.csv")
    data = (project / "a.csv").read_bytes()
    assert data.startswith(b"\xef\xbb\xbf")
    rows, paths = read_rows(project / "a.csv"), {f"photos/{name}" for name in UNUSUAL_NAMES}
    assert paths <= {row["path"] for row in rows}
    assert paths <= set(pd.read_csv(project / "a.csv")["path"])
    assert b'"photos/a;b.png"' in data
    assert len({len(row) for row in csv.reader(io.StringIO(data.decode("utf-8-sig"), newline=""))}) == 1


@pytest.mark.parametrize("kept_bytes", [1, 2, 3, 9, 14, 15, 20, 27, 28])
def test_an_incomplete_quoted_row_does_not_absorb_the_next_row(kept_bytes, tmp_path):
    """A run is killed while it writes a row; the next run appends complete rows."""
    header, file = ["path", "class", "error"], tmp_path / "a.csv"
    with predictions_csv.append_rows(file, header) as write:
        write(["a.png", "Red", None])
        row_start = file.stat().st_size
        write(["b,1.png", "Red", 'a "b", c\nd'])
    with file.open("r+b") as stream:
        stream.truncate(row_start + kept_bytes)
    paths = predictions_csv.read_paths(file)
    assert "a.png" in paths
    with predictions_csv.append_rows(file, header) as write:
        write(["c.png", "Blue", None])
    with file.open(encoding="utf-8-sig", newline="") as stream:
        rows = list(csv.reader(stream))
    assert rows[1] == ["a.png", "Red", ""]
    assert rows[-1] == ["c.png", "Blue", ""]
    assert len(rows) == 4


def test_a_full_disk_loses_no_results_of_choose(project, monkeypatch):
    def fail(*_, **__):
        raise DISK_FULL

    with monkeypatch.context() as context:
        context.setattr("tempfile.TemporaryFile", fail)
        context.setattr(model_loading, "open_session", None)  # the disk is checked before a model is opened
        for option in (["--csv", "a.csv"], ["--sheet", "a.png"]):
            assert "No space left on device" in words(run(*CHOOSE, *option, status=1).stderr)
    monkeypatch.setattr("realwaste.cli.choose_sheet.write_sheet", fail)
    result = run(*CHOOSE, "--sheet", "a.png", "--csv", "a.csv", status=1)
    assert isinstance(result.exception, SystemExit)
    assert "photos/red.png" in result.stdout
    assert len(read_rows(project / "a.csv")) == 2
    assert "There must be room to write" in words(result.stderr)


def test_a_photo_deleted_before_the_sheet_is_drawn_is_named(project, monkeypatch):
    select_photos = choose_selection.select_photos

    def delete_photos(*arguments):
        (project / "photos/blue.png").unlink()
        (project / "photos/blue.png").mkdir()
        (project / "photos/red.png").unlink()
        return select_photos(*arguments)

    monkeypatch.setattr(choose_selection, "select_photos", delete_photos)
    result = run(*CHOOSE, "--sheet", "a.png", "--json", status=1)
    assert len(json.loads(result.stdout)["chosen"]) == 2
    log_text = words(result.stderr)
    assert "the sheet does not show photos/blue.png: not a regular file" in log_text
    assert "the sheet does not show photos/red.png: No such file or directory" in log_text
    assert (project / "a.png").is_file()


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_predict_works_with_closed_standard_streams(closed, project):
    command = f"{shlex.join(command_with_colours('predict', '-m', 'cnn', 'photos', '--csv', 'a.csv'))} {closed}"
    shell, environment = ["sh", "-c", command], process_environment()
    result = subprocess.run(shell, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert "Traceback" not in result.stderr
    assert result.returncode == 0
    assert [row["class"] for row in read_rows(project / "a.csv")] == ["Blue", "Red"]
