"""`realwaste predict`: --min-confidence, --csv, --sort-into, --all-models, URLs and standard input."""

import io
import os
import sys
from dataclasses import replace
from itertools import cycle, islice

import colours
import pandas as pd
import pytest
from colours import BLUE, GREEN, GREY, RED, TEAL, photo, read_rows, run, run_json, words
from rich.console import Console
from rich.text import Text
from servers import PlayServer
from typer.testing import CliRunner

from realwaste.__main__ import app
from realwaste.cli import predict_download, predictions_csv, progress_bar
from realwaste.cli.predict_models import Column, RowTable
from realwaste.core import log
from realwaste.core.errors import UserError
from realwaste.images import remote_image
from realwaste.models import image_predictions
from realwaste.models.image_predictions import NOT_SURE
from realwaste.models.novelty import UNLIKE


@pytest.fixture
def project(tmp_path, monkeypatch):
    """The current folder: a model of colours, and four photographs in photos/."""
    colours.prepare(tmp_path, monkeypatch)
    for name, colour in {"blue": BLUE, "grey": GREY, "red": RED, "teal": TEAL}.items():
        photo(tmp_path / f"photos/{name}.png", colour)
    return tmp_path


def _predict(*arguments, **options):
    return run("predict", "-m", "cnn", *arguments, **options)


def _predict_json(*arguments, **options):
    return run_json("predict", "-m", "cnn", *arguments, **options)


def _pick(record, *keys):
    return tuple(record[key] for key in keys)


def test_predictions_below_min_confidence_are_not_sure(project):
    output = _predict_json("photos", "--min-confidence", 0.8)
    assert output["min_confidence"] == 0.8
    assert [_pick(record, "path", "answer", "not_sure", "unlike") for record in output["answers"]] == [
        ("photos/blue.png", "Blue", False, False),
        ("photos/grey.png", NOT_SURE, True, True),
        ("photos/red.png", "Red", False, False),
        ("photos/teal.png", NOT_SURE, True, False),
    ]
    assert output["answers"][3]["predictions"][0]["class"] == "Green", "the predictions are listed nevertheless"
    lines = {line.split()[0]: line for line in _predict("photos", "--min-confidence", 0.8).stdout.splitlines() if line}
    assert lines["photos/red.png"].split()[1] == "Red"
    assert lines["photos/teal.png"].split()[1:4] == ["not", "sure", "Green"]
    assert UNLIKE in lines["photos/grey.png"]


def test_without_min_confidence_nothing_is_not_sure_and_at_zero_only_novel_photos(project):
    assert NOT_SURE not in {record["answer"] for record in _predict_json("photos")["answers"]}
    output = _predict_json("photos", "--min-confidence", 0)["answers"]
    assert [record["not_sure"] for record in output] == [False, True, False, False]
    exact = output[3]["predictions"][0]["probability"]
    at_threshold = _predict_json("photos/teal.png", "--min-confidence", exact)["answers"][0]
    assert not at_threshold["not_sure"], "only probabilities below the threshold are not sure"
    assert CliRunner().invoke(app, ["predict", "photos", "--min-confidence", "80"]).exit_code == 2


def test_the_csv_has_a_row_per_file(project):
    (project / "photos/words.png").write_text("words")
    result = _predict("photos", "--csv", "out/answers.csv", "--min-confidence", 0.8, status=1)
    assert result.stdout == "", "the CSV replaces the table"
    counts = "5 photos: 2 not sure, 1 Blue, 1 Red, 1 without a prediction; written: out/answers.csv"
    assert counts in words(result.stderr)
    rows = read_rows(project / "out/answers.csv")
    by_path = {row["path"]: row for row in rows}
    assert list(rows[0]) == [
        *("path", "class", "most_likely", "probability", "class_2", "probability_2", "class_3", "probability_3"),
        *("strangeness", "unlike", "not_sure", "error"),
    ]
    red, teal = by_path["photos/red.png"], by_path["photos/teal.png"]
    assert _pick(red, "class", "most_likely", "unlike", "not_sure", "error") == ("Red", "Red", "false", "false", "")
    assert float(red["probability"]) > 0.99
    assert _pick(teal, "class", "most_likely") == (NOT_SURE, "Green")
    unreadable = {"path": "photos/words.png", "error": "not an image"}
    assert by_path["photos/words.png"] == dict.fromkeys(rows[0], "") | unreadable
    assert [path.name for path in (project / "out").iterdir()] == ["answers.csv"]
    table = pd.read_csv(project / "out/answers.csv")
    assert table["probability"].dtype == float
    assert table["path"].iloc[0] == "photos/blue.png", "pandas skips the byte order mark"


def test_csv_rows_are_in_the_part_file_during_the_run_and_in_the_file_after_it(project, monkeypatch):
    for number in range(40):
        photo(project / f"many/{number:02}.png", GREEN)
    row_counts, earlier_text = [], "path,class,error\nof before,Red,\n"

    def classify(features):
        part = project / "answers.csv.part"
        row_counts.append(len(read_rows(part)) if part.exists() else -1)
        assert (project / "answers.csv").read_text() == earlier_text
        return colours.softmax(features)

    (project / "answers.csv").write_text(earlier_text)
    session = colours.open_session(project / "models/cnn.keras")
    session = replace(session, classify=replace(session.classify, run=classify))
    monkeypatch.setattr("realwaste.cli.model_loading.open_session", lambda path, max_images: session)
    _predict("many", "--csv", "answers.csv")
    assert row_counts == list(range(0, 40, colours.ROWS)), "a batch is written before the next is predicted"
    assert len(read_rows(project / "answers.csv")) == 40
    assert not (project / "answers.csv.part").exists()


def test_rows_of_an_interrupted_run_stay_in_the_part_file(project, monkeypatch):
    with (
        pytest.raises(ZeroDivisionError),
        predictions_csv.write_rows(project / "a.csv", ["path", "class", "error"]) as write,
    ):
        write(["one.jpg", "Red", None])
        raise ZeroDivisionError
    assert [row["path"] for row in read_rows(project / "a.csv.part")] == ["one.jpg"]
    assert not (project / "a.csv").exists()
    predictions_csv.check_csv(project / "a.csv", [])
    assert (project / "a.csv.part").exists()


@pytest.mark.parametrize("verb", ["predict", "choose"])
@pytest.mark.parametrize("name", ["=1+1.png", "+1.png", "-1.png", "@SUM(1).png", "\t=1.png", "＝1.png", "\n=1.png"])
def test_no_file_name_or_class_is_a_formula_in_the_csv(name, verb, project):
    colours.save(project / "models/cnn.keras", ("Blue", "Green", "=HYPERLINK(0)"))
    photo(project / name, RED)
    run(verb, "-m", "cnn", "--csv", "a.csv", "--", name)
    (row,) = read_rows(project / "a.csv")
    assert row["path"] == f"./{name}"
    assert (project / row["path"]).is_file()
    assert row["class" if verb == "predict" else "best"] == "'=HYPERLINK(0)"


def test_bytes_of_a_name_that_are_not_text_are_replaced(project):
    os.rename(photo(project / "x.png", RED), os.fsencode(project) + b"/bytes\xff, \xe2\x82\xac.png")  # noqa: PTH104
    _predict(".", "--csv", "a.csv")
    assert "bytes\ufffd, €.png" in {row["path"] for row in read_rows(project / "a.csv")}
    assert "bytes\ufffd, €.png" in {record["path"] for record in _predict_json(".")["answers"]}
    assert "bytes\\udcff, €.png" in _predict(".").stdout


def test_photos_are_copied_by_class_or_to_not_sure(project):
    (project / "photos/words.png").write_text("words")
    bytes_before = {path: path.read_bytes() for path in (project / "photos").iterdir()}
    result = _predict("photos", "--sort-into", "sorted", "--min-confidence", 0.8, status=1)
    copies = {path: path.read_bytes() for path in (project / "sorted").rglob("*.png")}
    assert copies == {
        project / f"sorted/{folder}/{name}.png": bytes_before[project / f"photos/{name}.png"]
        for name, folder in {"blue": "Blue", "red": "Red", "grey": NOT_SURE, "teal": NOT_SURE}.items()
    }
    assert {path: path.read_bytes() for path in (project / "photos").iterdir()} == bytes_before
    assert "copied to sorted: Blue 1, Red 1, not sure 2" in result.stderr
    assert (project / "sorted/Red/red.png").stat().st_mtime_ns == (project / "photos/red.png").stat().st_mtime_ns
    second_run = _predict("photos", "--sort-into", "sorted", "--min-confidence", 0.8, status=1)
    assert "copied to sorted: none; 4 were there already" in second_run.stderr
    assert len(list((project / "sorted").rglob("*.*"))) == 4


def test_copies_never_replace_a_file_and_novel_photos_are_not_copied_into_a_class(project):
    photo(project / "a/x.png", RED)
    photo(project / "b/x.png", RED, shade=9)
    photo(project / "c/x.png", RED)
    (project / "sorted/Red").mkdir(parents=True)
    (project / "sorted/Red/red.png").write_text("a person's own")
    output = _predict_json("a", "b", "c", "photos", "--sort-into", "sorted")
    assert {record["path"]: record["copy"] for record in output["answers"]} == {
        "a/x.png": "sorted/Red/x.png",
        "b/x.png": "sorted/Red/x-2.png",
        "c/x.png": "sorted/Red/x.png",
        "photos/blue.png": "sorted/Blue/blue.png",
        "photos/grey.png": "sorted/not sure/grey.png",
        "photos/red.png": "sorted/Red/red-2.png",
        "photos/teal.png": "sorted/Green/teal.png",
    }
    assert (project / "sorted/Red/red.png").read_text() == "a person's own"
    assert (project / "sorted/Red/x-2.png").read_bytes() == (project / "b/x.png").read_bytes()


def test_class_names_cannot_lead_out_of_the_folder(project):
    colours.save(project / "models/cnn.keras", ("..", "a/../../b", "CON:"))
    _predict("photos", "--sort-into", "deep/sorted")
    folders = {path.parent.name for path in (project / "deep/sorted").rglob("*.png")}
    assert folders == {"_", "a_.._.._b", "CON_", NOT_SURE}
    assert not [path for path in project.rglob("*.png") if path.parent.name == "b"]


@pytest.mark.parametrize(
    ("images", "folder", "refused"),
    [
        (["photos"], "photos/sorted", True),
        (["photos"], "photos", True),
        (["."], "sorted", True),
        (["photos/red.png"], "photos", True),
        (["photos/red.png"], "photos/sorted", False),
        (["photos/*"], "photos/sorted", True),
        (["**/*.png"], "sorted", True),
        (["photos/**/*.png"], "sorted", False),
    ],
)
def test_copies_into_the_input_folders_are_refused(images, folder, refused, project):
    log_text = _predict(*images, "--sort-into", folder, status=int(refused)).stderr
    assert ("outside of those with the photos" in words(log_text)) == refused
    assert (project / folder / "Red").exists() != refused


def test_a_photograph_is_read_from_standard_input(project):
    red_bytes = (project / "photos/red.png").read_bytes()
    blue, red = _predict_json("photos/blue.png", "-", "--sort-into", "sorted", stdin=red_bytes)["answers"]
    assert _pick(blue, "path", "answer") == ("photos/blue.png", "Blue")
    assert _pick(red, "path", "answer", "copy") == ("-", "Red", "sorted/Red/standard input.png")
    empty = _predict_json("-", stdin=b"", status=1)
    assert empty["answers"][0]["error"] == "empty file"


def test_standard_input_must_not_be_a_terminal(project, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr(sys, "stdin", Terminal())
    with pytest.raises(UserError, match="must not be a terminal"):
        remote_image.read_standard_input()


def test_photographs_are_downloaded_from_urls(project):
    with PlayServer() as server:
        server.serve("cam/red.png", (project / "photos/red.png").read_bytes())
        server.serve("nosuffix", (project / "photos/blue.png").read_bytes())
        server.serve("words.png", b"words")
        red_url, blue_url, text_url = (server.url(name) for name in ("cam/red.png", "nosuffix", "words.png"))
        secret_url = red_url.replace("://", "://me:secret@")
        images = [red_url, "photos/teal.png", blue_url, text_url, server.url("gone.png")]
        output = _predict_json(*images, "--sort-into", "s", status=1)
        assert [_pick(record, "path", "answer", "copy") for record in output["answers"][:3]] == [
            (red_url, "Red", "s/Red/red.png"),
            ("photos/teal.png", "Green", "s/Green/teal.png"),
            (blue_url, "Blue", "s/Blue/nosuffix.png"),
        ]
        assert output["answers"][3]["error"] == "not an image"
        assert output["answers"][4]["error"].startswith("cannot be fetched: the server answers 404")
        result = _predict(secret_url, "--csv", "a.csv")
        assert "secret" not in result.stdout + result.stderr + (project / "a.csv").read_text()
        assert read_rows(project / "a.csv")[0]["path"] == red_url
    unreachable = _predict_json(red_url, status=1)
    assert unreachable["answers"][0]["error"] == "cannot be fetched: no connection to the server"
    assert "must start with http:// or https://" in _predict("ftp://a.example/b.jpg", status=1).stderr


def test_web_pages_videos_and_too_large_downloads_are_errors(project, monkeypatch):
    def respond_with(content_type):
        return lambda exchange: (exchange.start(200, 3, Content_Type=content_type), exchange.send(b"abc"))

    monkeypatch.setattr(predict_download, "MAX_BYTES", 1000)
    with PlayServer() as server:
        server.serve("large", b"x" * 5000)
        server.always("page", respond_with("text/html; charset=utf-8"))
        server.always("video", respond_with("multipart/x-mixed-replace; boundary=x"))
        output = _predict_json(*(server.url(name) for name in ("page", "video", "large")), status=1)
    assert [record["error"] for record in output["answers"]] == [
        "a web page, not a photograph",
        "a video, not a photograph",
        "more than 1,000 bytes",
    ]


def test_predictions_of_all_models_are_listed_side_by_side(project):
    colours.save(project / "models/irv2.keras", ("Sky", "Green", "Red"), with_novelty=False)
    (project / "photos/words.png").write_text("words")
    arguments = ["photos", "--all-models", "--min-confidence", 0.8, "--csv", "a.csv"]
    output = run_json("predict", *arguments, status=1)
    assert list(output["models"]) == ["cnn", "irv2"]
    assert output["models"]["irv2"]["model"]["classes"] == ["Sky", "Green", "Red"]
    labels = [
        (record["path"], *(prediction["answer"] for prediction in record["models"].values()), record["agree"])
        for record in output["answers"]
    ]
    assert labels == [
        ("photos/blue.png", "Blue", "Sky", False),
        ("photos/grey.png", NOT_SURE, NOT_SURE, None),
        ("photos/red.png", "Red", "Red", True),
        ("photos/teal.png", NOT_SURE, NOT_SURE, None),
        ("photos/words.png", None, None, None),
    ]
    rows = {row["path"]: row for row in read_rows(project / "a.csv")}
    assert (rows["photos/blue.png"]["cnn_class"], rows["photos/blue.png"]["irv2_class"]) == ("Blue", "Sky")
    assert (rows["photos/grey.png"]["cnn_unlike"], rows["photos/grey.png"]["irv2_unlike"]) == ("true", "")
    assert rows["photos/words.png"]["error"] == "not an image"
    table = run("predict", "photos", "--all-models", status=1).stdout
    lines = {line.split()[0]: line.split() for line in table.splitlines() if line}
    assert lines["file"] == ["file", "cnn", "irv2"]
    assert (lines["photos/blue.png"][1], lines["photos/blue.png"][3]) == ("Blue", "Sky")
    assert lines["photos/words.png"][1:] == ["not", "an", "image"]


def test_a_url_is_downloaded_once_for_all_models(project):
    colours.save(project / "models/irv2.keras")
    with PlayServer() as server:
        server.serve("red.png", (project / "photos/red.png").read_bytes())
        output = run_json("predict", server.url("red.png"), "--all-models")
        assert len(server.ranges("red.png")) == 1
    assert output["answers"][0]["agree"] is True


@pytest.mark.parametrize("option", [["-m", "cnn"], ["--overlay", "o"], ["--sort-into", "s"]])
def test_options_for_a_single_model_are_refused_with_all_models(option, project):
    refused = run("predict", "photos", "--all-models", *option, status=1)
    assert "must be used without --model" in words(refused.stderr)
    assert not (project / "o").exists()
    assert not (project / "s").exists()


def test_the_progress_bar_counts_and_does_not_write_to_standard_output(project, monkeypatch, capsys):
    screen = io.StringIO()
    monkeypatch.setattr(log, "console", Console(file=screen, force_terminal=True, width=100))

    def yield_numbers():
        for number in range(20):
            yield number
            print(number)  # noqa: T201 - as a command prints its results

    assert list(progress_bar.track(yield_numbers(), 20)) == list(range(20))
    assert capsys.readouterr().out.split() == [str(number) for number in range(20)]
    assert "/20" in screen.getvalue()
    assert "time left" in screen.getvalue()


def test_predictions_of_an_endless_iterator_are_yielded_at_once(project):
    endless_paths = (project / f"photos/{name}.png" for name in cycle(["red", "blue"]))
    predictions = image_predictions.predict_images(colours.open_session(project / "models/cnn.keras"), endless_paths)
    assert [prediction.label for prediction in islice(predictions, 1000)] == ["Red", "Blue"] * 500


def test_the_table_is_wrapped_and_not_truncated_in_a_narrow_terminal():
    screen = io.StringIO()
    columns = [Column("file", 60), Column("most likely", 8), Column("", 6, right=True), Column("but", 9)]
    table = RowTable(Console(file=screen, width=50), columns)
    table.print_header()
    table.print_row([Text("a" * 60), Text("Glass"), Text("9.9%"), Text("unlike anything learned")])
    table.print_row([Text("b.jpg"), Text("not an image, and a long reason why it is none")])
    lines = screen.getvalue().splitlines()
    assert max(map(len, lines)) <= 50
    assert [line.split()[0] for line in lines[2:6]] == ["a" * 18, "a" * 18, "a" * 18, "a" * 6]
    assert lines[2].split()[:3] == ["a" * 18, "Glass", "9.9%"]
    text = words(" ".join(lines))
    assert {"unlike", "anything", "learned"} <= set(text.split())
    assert "not an image, and a long reason" in text
