"""`realwaste predict --watch`: a camera's folder, each new photograph once, when it is whole."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import colours
import pytest
from colours import BLUE, GREEN, GREY, RED, photo
from typer.testing import CliRunner

from benchmarks.parts.child import ROOT
from realwaste.__main__ import app
from realwaste.cli import predict_watch


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A present folder with a model of colours, and a folder `camera` with one photograph."""
    colours.use(monkeypatch)
    monkeypatch.chdir(tmp_path)
    colours.save(tmp_path / "models/cnn.keras")
    photo(tmp_path / "camera/old.png", BLUE)
    return tmp_path


@pytest.fixture
def watch(here, monkeypatch):
    """watch(arguments, action, action, …): each action happens a time after the one before; then Ctrl-C is pressed."""

    def run(arguments, *actions, status=0, apart=3.0):
        clock, coming = [0.0], list(actions)

        def sleep(seconds):
            clock[0] += seconds
            if clock[0] < apart:
                return
            if not coming:
                raise KeyboardInterrupt
            clock[0] = 0.0
            clocks.append(clocks[-1] + apart)
            coming.pop(0)()

        clocks = [0.0]
        monkeypatch.setattr(
            predict_watch, "time", SimpleNamespace(monotonic=lambda: clocks[-1] + clock[0], sleep=sleep)
        )
        named = [] if "--all-models" in arguments else ["-m", "cnn"]
        done = CliRunner().invoke(app, ["predict", *named, *map(str, arguments)])
        assert done.exit_code == status, (done.stderr, done.exception)
        return done

    return run


def _names(done):
    return [json.loads(line)["path"] for line in done.stdout.splitlines()]


def test_each_new_photograph_once_a_line_each(here, watch):
    done = watch(
        ["--watch", "camera", "--json"],
        lambda: photo(here / "camera/red.png", RED),
        lambda: photo(here / "camera/deep/green.png", GREEN),
        lambda: None,
    )
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(one["path"], one["answer"]) for one in lines] == [
        ("camera/red.png", "Red"),
        ("camera/deep/green.png", "Green"),
    ]
    assert "watching camera: 1 of its 1 files are skipped; Ctrl-C ends" in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def test_those_that_are_there_are_looked_at_if_they_are_given(here, watch):
    photo(here / "other/green.png", GREEN)
    photo(here / "camera/spare.png", RED)
    done = watch(["camera", "other", "--watch", here / "camera", "--json"])
    assert _names(done) == ["other/green.png", *sorted(str(here / f"camera/{name}.png") for name in ("old", "spare"))]
    assert _names(watch(["camera/old.png", "--watch", "camera", "--json"])) == ["camera/old.png"]


def test_a_file_that_grows_waits_and_one_that_is_renamed_into_place_does_not(here, watch):
    whole = photo(here / "whole.png", RED).read_bytes()
    growing, ready = here / "camera/growing.png", here / "camera/ready.png"

    def grow():
        with growing.open("ab") as file:
            file.write(whole[growing.stat().st_size if growing.exists() else 0 :][:20])

    done = watch(
        ["--watch", "camera", "--json"],
        lambda: (grow(), shutil.copy(here / "whole.png", here / "camera/.ready.png.part")),
        lambda: (grow(), (here / "camera/.ready.png.part").rename(ready)),
        grow,
        grow,
        lambda: growing.write_bytes(whole),
        lambda: None,
        lambda: None,
        apart=1.2,
    )
    assert _names(done) == ["camera/ready.png", "camera/growing.png"]
    assert all(json.loads(line)["answer"] == "Red" for line in done.stdout.splitlines())


def test_an_empty_file_is_not_there_yet_and_a_changed_one_is_another_photograph(here, watch):
    file = here / "camera/latest.png"
    done = watch(
        ["--watch", "camera", "--json"],
        file.touch,
        lambda: photo(file, RED),
        lambda: photo(file, GREEN, shade=77),
        lambda: None,
    )
    assert [json.loads(line)["answer"] for line in done.stdout.splitlines()] == ["Red", "Green"]


def test_what_vanishes_or_cannot_be_read_ends_nothing(here, watch, monkeypatch):
    listed = predict_watch.read_stamps

    def vanishing(folder):
        found = listed(folder)
        (here / "camera/gone.png").unlink(missing_ok=True)
        return found

    monkeypatch.setattr(predict_watch, "SETTLED_S", 0.0)
    done = watch(
        ["--watch", "camera", "--json", "--sort-into", "sorted"],
        lambda: (photo(here / "camera/gone.png", RED), monkeypatch.setattr(predict_watch, "read_stamps", vanishing)),
        lambda: (here / "camera/words.png").write_text("words"),
        lambda: shutil.rmtree(here / "camera"),
        lambda: photo(here / "camera/blue.png", BLUE),
        lambda: None,
    )
    told = {one["path"]: one for one in map(json.loads, done.stdout.splitlines())}
    assert told["camera/gone.png"]["error"] == "cannot be opened: No such file or directory"
    assert told["camera/words.png"]["error"] == "not an image"
    assert told["camera/blue.png"]["answer"] == "Blue"
    said = " ".join(done.stderr.split())
    assert "camera is not there: waiting for it" in said
    assert "camera is back" in said
    assert "copied to sorted: Blue 1" in said


def _rows(file):
    with file.open(encoding="utf-8-sig", newline="") as opened:
        return [(row["path"], row["class"]) for row in csv.DictReader(opened)]


def test_a_spreadsheet_grows_and_a_second_start_goes_on(here, watch):
    file, arguments = here / "a.csv", ["camera", "--watch", "camera", "--csv", "a.csv"]
    watch(arguments, lambda: photo(here / "camera/red.png", RED), lambda: None)
    assert _rows(file) == [("camera/old.png", "Blue"), ("camera/red.png", "Red")]
    photo(here / "camera/between.png", GREEN)
    with file.open("ab") as torn:
        torn.truncate(file.stat().st_size - 1)
    watch(arguments, lambda: photo(here / "camera/late.png", RED), lambda: None)
    assert [path for path, _ in _rows(file)] == [f"camera/{name}.png" for name in ("old", "red", "between", "late")]
    assert file.read_bytes().count(b"\xef\xbb\xbf") == 1
    for columns, said in {
        "path,class,error\n": "must have the columns path,class,",
        "date,place\n": "a new file",
    }.items():
        file.write_text(columns)
        assert said in " ".join(watch(arguments, status=1).stderr.split())
        assert file.read_text() == columns


def test_copies_are_not_taken_for_new_photographs(here, watch):
    refused = watch(["--watch", "camera", "--sort-into", "camera/sorted"], status=1)
    assert "outside of those with the photos" in " ".join(refused.stderr.split())
    done = watch(
        ["--watch", "camera", "--sort-into", "sorted", "--min-confidence", "0.8"],
        lambda: photo(here / "camera/grey.png", GREY),
        lambda: None,
    )
    assert "not sure" in next(line for line in done.stdout.splitlines() if "grey" in line)
    assert [str(path.relative_to(here)) for path in (here / "sorted").rglob("*.png")] == ["sorted/not sure/grey.png"]


def test_all_models_watch_too(here, watch):
    colours.save(here / "models/irv2.keras", ("Sky", "Green", "Red"))
    done = watch(
        ["--watch", "camera", "--all-models", "--json"], lambda: photo(here / "camera/blue.png", BLUE), lambda: None
    )
    (line,) = [json.loads(line) for line in done.stdout.splitlines()]
    assert {name: own["answer"] for name, own in line["models"].items()} == {"cnn": "Blue", "irv2": "Sky"}


def test_there_must_be_a_folder(here, watch):
    assert "--watch must name a folder" in " ".join(watch(["--watch", "nowhere"], status=1).stderr.split())
    assert CliRunner().invoke(app, ["predict"]).exit_code == 2


PROCESS = """
import colours, sys
from realwaste.cli import model_loading
model_loading.open_session = colours.open_session
from realwaste.__main__ import main
main()
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_ctrl_c_and_sigterm_end_the_command_with_status_0_and_every_row_written(here, number):
    """In a process of its own, with the clock as it is."""
    command = [sys.executable, "-c", PROCESS, "predict", "-m", "cnn", "--watch", "camera", "--csv", "a.csv", "--json"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, (ROOT / "src", ROOT / "tests", ROOT)))}
    with subprocess.Popen(
        command, cwd=here, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        said = [process.stderr.readline()]
        assert "watching" in said[0]
        photo(here / "camera/red.png", RED)
        assert json.loads(process.stdout.readline())["answer"] == "Red"
        deadline = time.monotonic() + 60
        while not (here / "a.csv").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert _rows(here / "a.csv") == [("camera/red.png", "Red")], "while it goes on"
        process.send_signal(number)
        rest, errors = process.communicate(timeout=60)
    assert (process.returncode, rest) == (0, "")
    assert "Traceback" not in errors
    assert "Abort" not in errors
