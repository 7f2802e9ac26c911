"""`realwaste predict --watch`: each new photograph of a camera's folder, once it is complete."""

import json
import shutil
import signal
import subprocess
import time
from types import SimpleNamespace
from typing import Any

import colours
import pytest
from colours import BLUE, GREEN, GREY, RED, command_with_colours, photo, process_environment, read_rows, run, words
from typer.testing import CliRunner

from realwaste.__main__ import app
from realwaste.cli import predict_inputs


@pytest.fixture
def project(tmp_path, monkeypatch):
    """The current folder: a model of colours, and a folder `camera` with one photograph."""
    colours.prepare(tmp_path, monkeypatch)
    photo(tmp_path / "camera/old.png", BLUE)
    return tmp_path


@pytest.fixture
def watch(project, monkeypatch):
    """watch(arguments, *actions): the actions run at intervals of a simulated clock; then Ctrl-C is pressed."""

    def start(arguments, *actions, status=0, interval=3.0):
        clock, remaining_actions = [0.0], list(actions)

        def sleep(seconds):
            clock[0] += seconds
            if clock[0] < interval:
                return
            if not remaining_actions:
                raise KeyboardInterrupt
            clock[0] = 0.0
            clocks.append(clocks[-1] + interval)
            remaining_actions.pop(0)()

        clocks = [0.0]
        monkeypatch.setattr(
            predict_inputs, "time", SimpleNamespace(monotonic=lambda: clocks[-1] + clock[0], sleep=sleep)
        )
        model_options = [] if "--all-models" in arguments else ["-m", "cnn"]
        return run("predict", *model_options, *arguments, status=status)

    return start


def _read_paths(result):
    return [json.loads(line)["path"] for line in result.stdout.splitlines()]


def test_each_new_photograph_is_predicted_once(project, watch):
    result = watch(
        ["--watch", "camera", "--json"],
        lambda: photo(project / "camera/red.png", RED),
        lambda: photo(project / "camera/deep/green.png", GREEN),
        lambda: None,
    )
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [(record["path"], record["answer"]) for record in lines] == [
        ("camera/red.png", "Red"),
        ("camera/deep/green.png", "Green"),
    ]
    assert "watching camera: 1 of its 1 files are skipped; Ctrl-C ends" in words(result.stderr)
    assert "Traceback" not in result.stderr


def test_photographs_at_the_start_are_predicted_if_they_are_named(project, watch):
    photo(project / "other/green.png", GREEN)
    photo(project / "camera/spare.png", RED)
    result = watch(["camera", "other", "--watch", project / "camera", "--json"])
    in_camera = [str(project / f"camera/{name}.png") for name in ("old", "spare")]
    assert _read_paths(result) == ["other/green.png", *in_camera]
    assert _read_paths(watch(["camera/old.png", "--watch", "camera", "--json"])) == ["camera/old.png"]


def test_a_growing_file_is_predicted_when_it_is_complete(project, watch):
    complete = photo(project / "whole.png", RED).read_bytes()
    growing, renamed = project / "camera/growing.png", project / "camera/ready.png"

    def grow():
        with growing.open("ab") as file:
            file.write(complete[growing.stat().st_size if growing.exists() else 0 :][:20])

    result = watch(
        ["--watch", "camera", "--json"],
        lambda: (grow(), shutil.copy(project / "whole.png", project / "camera/.ready.png.part")),
        lambda: (grow(), (project / "camera/.ready.png.part").rename(renamed)),
        grow,
        grow,
        lambda: growing.write_bytes(complete),
        lambda: None,
        lambda: None,
        interval=1.2,
    )
    assert _read_paths(result) == ["camera/ready.png", "camera/growing.png"]
    assert all(json.loads(line)["answer"] == "Red" for line in result.stdout.splitlines())


def test_an_empty_file_is_not_complete_and_a_changed_file_is_predicted_again(project, watch):
    file = project / "camera/latest.png"
    result = watch(
        ["--watch", "camera", "--json"],
        file.touch,
        lambda: photo(file, RED),
        lambda: photo(file, GREEN, shade=77),
        lambda: None,
    )
    assert [json.loads(line)["answer"] for line in result.stdout.splitlines()] == ["Red", "Green"]


def test_deleted_and_unreadable_files_do_not_end_the_run(project, watch, monkeypatch):
    read_stamps = predict_inputs.read_stamps

    def read_stamps_and_delete(folder):
        stamps = read_stamps(folder)
        (project / "camera/gone.png").unlink(missing_ok=True)
        return stamps

    monkeypatch.setattr(predict_inputs, "SETTLED_S", 0.0)
    result = watch(
        ["--watch", "camera", "--json", "--sort-into", "sorted"],
        lambda: (
            photo(project / "camera/gone.png", RED),
            monkeypatch.setattr(predict_inputs, "read_stamps", read_stamps_and_delete),
        ),
        lambda: (project / "camera/words.png").write_text("words"),
        lambda: shutil.rmtree(project / "camera"),
        lambda: photo(project / "camera/blue.png", BLUE),
        lambda: None,
    )
    by_path = {record["path"]: record for record in map(json.loads, result.stdout.splitlines())}
    assert by_path["camera/gone.png"]["error"] == "cannot be opened: No such file or directory"
    assert by_path["camera/words.png"]["error"] == "not an image"
    assert by_path["camera/blue.png"]["answer"] == "Blue"
    log_text = words(result.stderr)
    assert "camera is not there: waiting for it" in log_text
    assert "camera is back" in log_text
    assert "copied to sorted: Blue 1" in log_text


def _read_predictions(file):
    return [(row["path"], row["class"]) for row in read_rows(file)]


def test_csv_rows_are_appended_and_a_second_run_continues_the_file(project, watch):
    file, arguments = project / "a.csv", ["camera", "--watch", "camera", "--csv", "a.csv"]
    watch(arguments, lambda: photo(project / "camera/red.png", RED), lambda: None)
    assert _read_predictions(file) == [("camera/old.png", "Blue"), ("camera/red.png", "Red")]
    photo(project / "camera/between.png", GREEN)
    with file.open("ab") as csv_file:
        csv_file.truncate(file.stat().st_size - 1)
    watch(arguments, lambda: photo(project / "camera/late.png", RED), lambda: None)
    assert [path for path, _ in _read_predictions(file)] == [
        f"camera/{name}.png" for name in ("old", "red", "between", "late")
    ]
    assert file.read_bytes().count(b"\xef\xbb\xbf") == 1
    messages = {"path,class,error\n": "must have the columns path,class,", "date,place\n": "a new file"}
    for columns, message in messages.items():
        file.write_text(columns)
        assert message in words(watch(arguments, status=1).stderr)
        assert file.read_text() == columns


def test_named_photographs_outside_the_folder_are_not_predicted_again_after_a_restart(project, watch):
    photo(project / "other/green.png", GREEN)
    arguments = ["other", "--watch", "camera", "--csv", "a.csv"]
    for _ in range(2):
        watch(arguments)
        assert _read_predictions(project / "a.csv") == [("other/green.png", "Green")]


def test_sorting_into_the_watched_folder_is_refused(project, watch):
    refused = watch(["--watch", "camera", "--sort-into", "camera/sorted"], status=1)
    assert "outside of those with the photos" in words(refused.stderr)
    result = watch(
        ["--watch", "camera", "--sort-into", "sorted", "--min-confidence", "0.8"],
        lambda: photo(project / "camera/grey.png", GREY),
        lambda: None,
    )
    assert "not sure" in next(line for line in result.stdout.splitlines() if "grey" in line)
    assert list((project / "sorted").rglob("*.png")) == [project / "sorted/not sure/grey.png"]


def test_all_models_predict_watched_photographs(project, watch):
    colours.save(project / "models/irv2.keras", ("Sky", "Green", "Red"))
    result = watch(
        ["--watch", "camera", "--all-models", "--json"], lambda: photo(project / "camera/blue.png", BLUE), lambda: None
    )
    (line,) = [json.loads(line) for line in result.stdout.splitlines()]
    assert {name: prediction["answer"] for name, prediction in line["models"].items()} == {"cnn": "Blue", "irv2": "Sky"}


def test_the_watched_folder_must_exist(project, watch):
    assert "--watch must name a folder" in words(watch(["--watch", "nowhere"], status=1).stderr)
    assert CliRunner().invoke(app, ["predict"]).exit_code == 2


@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_ctrl_c_and_sigterm_end_with_status_0_and_every_row_written(project, signal_number):
    """In another process, with the real clock."""
    command = command_with_colours("predict", "-m", "cnn", "--watch", "camera", "--csv", "a.csv", "--json")
    streams: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, env=process_environment(), **streams) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert "watching" in process.stderr.readline()
        photo(project / "camera/red.png", RED)
        assert json.loads(process.stdout.readline())["answer"] == "Red"
        deadline = time.monotonic() + 60
        while not (project / "a.csv").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert _read_predictions(project / "a.csv") == [("camera/red.png", "Red")], "rows are written during the run"
        process.send_signal(signal_number)
        rest, errors = process.communicate(timeout=60)
    assert (process.returncode, rest) == (0, "")
    assert "Traceback" not in errors
    assert "Abort" not in errors
