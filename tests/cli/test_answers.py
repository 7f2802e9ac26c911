"""`realwaste predict` beyond its table: not sure, CSV, copies by class, photographs from elsewhere, all models."""

import csv
import io
import json
import os
import sys
from dataclasses import replace
from itertools import cycle, islice

import colours
import pandas as pd
import pytest
from colours import BLUE, GREEN, GREY, RED, TEAL, photo
from rich.console import Console
from rich.text import Text
from servers import PlayServer
from typer.testing import CliRunner

from realwaste.__main__ import app
from realwaste.cli import predict_download, predictions_csv, progress_bar
from realwaste.cli.predict_table import Column, RowTable
from realwaste.core import log
from realwaste.core.errors import UserError
from realwaste.models import image_predictions, remote_image
from realwaste.models.image_predictions import NOT_SURE
from realwaste.models.novelty import UNLIKE


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A present folder with a model of colours, and four photographs in photos/."""
    colours.use(monkeypatch)
    monkeypatch.chdir(tmp_path)
    colours.save(tmp_path / "models/cnn.keras")
    for name, colour in {"blue": BLUE, "grey": GREY, "red": RED, "teal": TEAL}.items():
        photo(tmp_path / f"photos/{name}.png", colour)
    return tmp_path


def _predict(*arguments, status=0, stdin=None):
    done = CliRunner().invoke(app, ["predict", "-m", "cnn", *map(str, arguments)], input=stdin)
    assert done.exit_code == status, done.stderr
    return done


def _json(*arguments, **named):
    return json.loads(_predict(*arguments, "--json", **named).stdout, parse_constant=pytest.fail)


def _rows(file):
    with file.open(encoding="utf-8-sig", newline="") as opened:
        return list(csv.DictReader(opened))


def test_what_is_not_sure(here):
    told = _json("photos", "--min-confidence", 0.8)
    assert told["min_confidence"] == 0.8
    assert [(one["path"], one["answer"], one["not_sure"], one["unlike"]) for one in told["answers"]] == [
        ("photos/blue.png", "Blue", False, False),
        ("photos/grey.png", NOT_SURE, True, True),
        ("photos/red.png", "Red", False, False),
        ("photos/teal.png", NOT_SURE, True, False),
    ]
    assert told["answers"][3]["predictions"][0]["class"] == "Green", "what it would have been is still told"
    lines = {line.split()[0]: line for line in _predict("photos", "--min-confidence", 0.8).stdout.splitlines() if line}
    assert lines["photos/red.png"].split()[1] == "Red"
    assert lines["photos/teal.png"].split()[1:4] == ["not", "sure", "Green"]
    assert UNLIKE in lines["photos/grey.png"]


def test_without_a_limit_every_answer_stands_and_at_zero_only_what_is_unlike_is_not_sure(here):
    assert NOT_SURE not in {one["answer"] for one in _json("photos")["answers"]}
    told = _json("photos", "--min-confidence", 0)["answers"]
    assert [one["not_sure"] for one in told] == [False, True, False, False]
    exact = told[3]["predictions"][0]["probability"]
    assert not _json("photos/teal.png", "--min-confidence", exact)["answers"][0]["not_sure"], "below it, not at it"
    assert CliRunner().invoke(app, ["predict", "photos", "--min-confidence", "80"]).exit_code == 2


def test_a_spreadsheet_has_a_row_a_file(here):
    (here / "photos/words.png").write_text("words")
    done = _predict("photos", "--csv", "out/answers.csv", "--min-confidence", 0.8, status=1)
    assert "photos/red.png" in done.stdout, "the table is there too"
    rows = _rows(here / "out/answers.csv")
    told = {row["path"]: row for row in rows}
    assert list(rows[0]) == [
        *("path", "class", "most_likely", "probability", "class_2", "probability_2", "class_3", "probability_3"),
        *("strangeness", "unlike", "not_sure", "error"),
    ]
    assert told["photos/red.png"] | {"probability": "", "strangeness": ""} == {
        **dict.fromkeys(rows[0], ""),
        **{"path": "photos/red.png", "class": "Red", "most_likely": "Red", "unlike": "false", "not_sure": "false"},
        **{name: told["photos/red.png"][name] for name in ("class_2", "probability_2", "class_3", "probability_3")},
    }
    assert float(told["photos/red.png"]["probability"]) > 0.99
    assert (told["photos/teal.png"]["class"], told["photos/teal.png"]["most_likely"]) == (NOT_SURE, "Green")
    assert told["photos/words.png"] == dict.fromkeys(rows[0], "") | {
        "path": "photos/words.png",
        "error": "not an image",
    }
    assert [path.name for path in (here / "out").iterdir()] == ["answers.csv"]
    table = pd.read_csv(here / "out/answers.csv")
    assert table["probability"].dtype == float
    assert table["path"].iloc[0] == "photos/blue.png", "pandas passes over the mark at the beginning"


def test_rows_can_be_read_while_it_runs_and_the_file_comes_whole(here, monkeypatch):
    for number in range(40):
        photo(here / f"many/{number:02}.png", GREEN)
    seen = []

    def looked(features):
        part = here / "answers.csv.part"
        seen.append(len(_rows(part)) if part.exists() else -1)
        assert (here / "answers.csv").read_text() == before
        return colours.softmax(features)

    before = "path,class,error\nof before,Red,\n"
    (here / "answers.csv").write_text(before)
    session = colours.open_session(here / "models/cnn.keras")
    session = replace(session, classify=replace(session.classify, run=looked))
    monkeypatch.setattr("realwaste.cli.model_loading.open_session", lambda path, max_images: session)
    _predict("many", "--csv", "answers.csv")
    assert seen == list(range(0, 40, colours.ROWS)), "each batch's rows are there before the next is asked about"
    assert len(_rows(here / "answers.csv")) == 40
    assert not (here / "answers.csv.part").exists()


def test_what_came_of_a_run_that_broke_off_stays(here, monkeypatch):
    with (
        pytest.raises(ZeroDivisionError),
        predictions_csv.write_rows(here / "a.csv", ["path", "class", "error"]) as write,
    ):
        write(["one.jpg", "Red", None])
        raise ZeroDivisionError
    assert [row["path"] for row in _rows(here / "a.csv.part")] == ["one.jpg"]
    assert not (here / "a.csv").exists()
    predictions_csv.check_csv(here / "a.csv", [])
    assert (here / "a.csv.part").exists()


FORMULAS = ["=1+1.png", "+1.png", "-1.png", "@SUM(1).png", "\t=1.png", "＝1.png", "\n=1.png"]


@pytest.mark.parametrize("name", FORMULAS)
def test_no_file_name_becomes_a_formula_and_each_still_leads_to_its_file(name, here):
    photo(here / name, RED)
    _predict("--csv", "a.csv", "--", name)
    (row,) = _rows(here / "a.csv")
    assert row["path"] == f"./{name}"
    assert (here / row["path"]).is_file()


def test_no_class_becomes_a_formula_and_bytes_that_are_no_text_come_through(here):
    colours.save(here / "models/cnn.keras", ("Blue", "Green", "=HYPERLINK(0)"))
    os.rename(photo(here / "x.png", RED), os.fsencode(here) + b"/bytes\xff, \xe2\x82\xac.png")  # noqa: PTH104
    _predict(".", "--csv", "a.csv")
    told = {row["path"]: row["class"] for row in _rows(here / "a.csv")}
    assert told["bytes\ufffd, €.png"] == "'=HYPERLINK(0)"


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("photos", "a file that can be written, and photos cannot be"),
        ("photos/red.png", "another file than the photographs"),
        ("pipe", "a file that can be written"),
        ("models/cnn.keras/a.csv", "a file that can be written"),
    ],
)
def test_a_bad_place_for_the_spreadsheet_is_refused_before_a_model_is_opened(file, said, here, monkeypatch):
    monkeypatch.setattr("realwaste.cli.model_loading.open_session", None)
    os.mkfifo(here / "pipe")
    before = sorted(here.rglob("*"))
    refused = _predict("photos", "--csv", file, status=1)
    assert said in " ".join(refused.stderr.split())
    assert sorted(here.rglob("*")) == before


def test_copies_by_class_beside_what_it_is_not_sure_of(here):
    (here / "photos/words.png").write_text("words")
    before = {path: path.read_bytes() for path in (here / "photos").iterdir()}
    done = _predict("photos", "--sort-into", "sorted", "--min-confidence", 0.8, status=1)
    found = {str(path.relative_to(here / "sorted")): path.read_bytes() for path in (here / "sorted").rglob("*.png")}
    assert found == {
        f"{folder}/{name}": before[here / f"photos/{name}"]
        for folder, name in (
            ("Blue", "blue.png"),
            ("Red", "red.png"),
            *((NOT_SURE, f"{x}.png") for x in ("grey", "teal")),
        )
    }
    assert {path: path.read_bytes() for path in (here / "photos").iterdir()} == before
    assert "copied to sorted: Blue 1, Red 1, not sure 2" in done.stderr
    assert (here / "sorted/Red/red.png").stat().st_mtime_ns == (here / "photos/red.png").stat().st_mtime_ns
    again = _predict("photos", "--sort-into", "sorted", "--min-confidence", 0.8, status=1)
    assert "copied to sorted: none; 4 were there already" in again.stderr
    assert len(list((here / "sorted").rglob("*.*"))) == 4


def test_a_copy_takes_no_other_s_place_and_what_is_unlike_is_never_among_the_classes(here):
    photo(here / "a/x.png", RED)
    photo(here / "b/x.png", RED, shade=9)
    photo(here / "c/x.png", RED)
    (here / "sorted/Red").mkdir(parents=True)
    (here / "sorted/Red/red.png").write_text("a person's own")
    told = _json("a", "b", "c", "photos", "--sort-into", "sorted")
    assert {one["path"]: one["copy"] for one in told["answers"]} == {
        "a/x.png": "sorted/Red/x.png",
        "b/x.png": "sorted/Red/x-2.png",
        "c/x.png": "sorted/Red/x.png",
        "photos/blue.png": "sorted/Blue/blue.png",
        "photos/grey.png": "sorted/not sure/grey.png",
        "photos/red.png": "sorted/Red/red-2.png",
        "photos/teal.png": "sorted/Green/teal.png",
    }
    assert (here / "sorted/Red/red.png").read_text() == "a person's own"
    assert (here / "sorted/Red/x-2.png").read_bytes() == (here / "b/x.png").read_bytes()


def test_the_name_of_a_class_never_leads_out_of_the_folder(here):
    colours.save(here / "models/cnn.keras", ("..", "a/../../b", "CON:"))
    _predict("photos", "--sort-into", "deep/sorted")
    folders = {path.parent.name for path in (here / "deep/sorted").rglob("*.png")}
    assert folders == {"_", "a_.._.._b", "CON_", NOT_SURE}
    assert not [path for path in here.rglob("*.png") if path.parent.name == "b"]


@pytest.mark.parametrize(
    ("images", "folder", "refused"),
    [
        (["photos"], "photos/sorted", True),
        (["photos"], "photos", True),
        (["."], "sorted", True),
        (["photos/red.png"], "photos", True),
        (["photos/red.png"], "photos/sorted", False),
        (["photos/*.png"], "photos/sorted", False),
        (["photos/*"], "photos/sorted", True),
        (["**/*.png"], "sorted", True),
        (["photos/**/*.png"], "sorted", False),
    ],
)
def test_copies_never_lie_where_photographs_are_looked_for(images, folder, refused, here):
    said = _predict(*images, "--sort-into", folder, status=int(refused)).stderr
    assert ("outside of those with the photos" in " ".join(said.split())) == refused
    assert (here / folder / "Red").exists() != refused


def test_a_photograph_on_standard_input(here):
    told = _json("photos/blue.png", "-", stdin=(here / "photos/red.png").read_bytes())
    assert [(one["path"], one["answer"]) for one in told["answers"]] == [("photos/blue.png", "Blue"), ("-", "Red")]
    empty = _json("-", stdin=b"", status=1)
    assert empty["answers"][0]["error"] == "empty file"
    copied = _json("-", "--sort-into", "sorted", stdin=(here / "photos/red.png").read_bytes())
    assert copied["answers"][0]["copy"] == "sorted/Red/standard input.png"


def test_a_terminal_is_no_photograph(here, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr(sys, "stdin", Terminal())
    with pytest.raises(UserError, match="must be one"):
        remote_image.read_standard_input()


def test_photographs_at_addresses(here):
    with PlayServer() as server:
        server.serve("cam/red.png", (here / "photos/red.png").read_bytes())
        server.serve("nosuffix", (here / "photos/blue.png").read_bytes())
        server.serve("words.png", b"words")
        good, other, words = (server.url(name) for name in ("cam/red.png", "nosuffix", "words.png"))
        secret = good.replace("://", "://me:secret@")
        told = _json(good, "photos/teal.png", other, words, server.url("gone.png"), "--sort-into", "s", status=1)
        assert [(one["path"], one["answer"], one["copy"]) for one in told["answers"][:3]] == [
            (good, "Red", "s/Red/red.png"),
            ("photos/teal.png", "Green", "s/Green/teal.png"),
            (other, "Blue", "s/Blue/nosuffix.png"),
        ]
        assert told["answers"][3]["error"] == "not an image"
        assert told["answers"][4]["error"].startswith("cannot be fetched: the server answers 404")
        shown = _predict(secret, "--csv", "a.csv")
        assert "secret" not in shown.stdout + shown.stderr + (here / "a.csv").read_text()
        assert _rows(here / "a.csv")[0]["path"] == good
    gone = _json(good, status=1)
    assert gone["answers"][0]["error"] == "cannot be fetched: no connection to the server"
    refused = _predict("ftp://a.example/b.jpg", status=1)
    assert "must start with http:// or https://" in refused.stderr


def test_a_web_page_a_video_and_what_never_ends_are_no_photographs(here, monkeypatch):
    def act(kind):
        return lambda exchange: (exchange.start(200, 3, Content_Type=kind), exchange.send(b"abc"))

    monkeypatch.setattr(predict_download, "MAX_BYTES", 1000)
    with PlayServer() as server:
        server.serve("page", b"<html>")
        server.serve("large", b"x" * 5000)
        for name, kind in {
            "page": "text/html; charset=utf-8",
            "video": "multipart/x-mixed-replace; boundary=x",
        }.items():
            server.always(name, act(kind))
        told = _json(*(server.url(name) for name in ("page", "video", "large")), status=1)
    assert [one["error"] for one in told["answers"]] == [
        "a web page, not a photograph",
        "a video, not a photograph",
        "more than 1,000 bytes",
    ]


def _all(*arguments, status=0):
    done = CliRunner().invoke(app, ["predict", *map(str, arguments), "--all-models"])
    assert done.exit_code == status, done.stderr
    return done


def test_all_models_side_by_side(here):
    colours.save(here / "models/irv2.keras", ("Sky", "Green", "Red"), measures=False)
    (here / "models/edge.keras").write_text("off\n")
    (here / "photos/words.png").write_text("words")
    told = json.loads(_all("photos", "--json", "--min-confidence", 0.8, "--csv", "a.csv", status=1).stdout)
    assert list(told["models"]) == ["cnn", "irv2"]
    assert told["models"]["irv2"]["model"]["classes"] == ["Sky", "Green", "Red"]
    answers = {one["path"]: one for one in told["answers"]}
    said = {path: [own["answer"] for own in one["models"].values()] for path, one in answers.items()}
    assert said == {
        "photos/blue.png": ["Blue", "Sky"],
        "photos/grey.png": [NOT_SURE, NOT_SURE],
        "photos/red.png": ["Red", "Red"],
        "photos/teal.png": [NOT_SURE, NOT_SURE],
        "photos/words.png": [None, None],
    }
    assert {path: one["agree"] for path, one in answers.items()} == {
        "photos/blue.png": False,
        "photos/grey.png": None,
        "photos/red.png": True,
        "photos/teal.png": None,
        "photos/words.png": None,
    }
    rows = {row["path"]: row for row in _rows(here / "a.csv")}
    assert (rows["photos/blue.png"]["cnn_class"], rows["photos/blue.png"]["irv2_class"]) == ("Blue", "Sky")
    assert (rows["photos/grey.png"]["cnn_unlike"], rows["photos/grey.png"]["irv2_unlike"]) == ("true", "")
    assert rows["photos/words.png"]["error"] == "not an image"
    lines = {line.split()[0]: line.split() for line in _all("photos", status=1).stdout.splitlines() if line}
    assert lines["file"] == ["file", "cnn", "irv2"]
    assert (lines["photos/blue.png"][1], lines["photos/blue.png"][3]) == ("Blue", "Sky")
    assert lines["photos/words.png"][1:] == ["not", "an", "image"]


def test_an_address_is_asked_once_for_all_models(here):
    colours.save(here / "models/irv2.keras")
    with PlayServer() as server:
        server.serve("red.png", (here / "photos/red.png").read_bytes())
        told = json.loads(_all(server.url("red.png"), "--json").stdout)
        assert len(server.ranges("red.png")) == 1
    assert told["answers"][0]["agree"] is True


@pytest.mark.parametrize("option", [["-m", "cnn"], ["--overlay", "o"], ["--sort-into", "s"]])
def test_what_all_models_cannot_do_is_refused(option, here):
    assert "must be used without --model" in " ".join(_all("photos", *option, status=1).stderr.split())
    assert not (here / "o").exists()
    assert not (here / "s").exists()


def test_the_bar_counts_and_leaves_standard_output_alone(here, monkeypatch, capsys):
    screen = io.StringIO()
    monkeypatch.setattr(log, "console", Console(file=screen, force_terminal=True, width=100))

    def coming():
        for number in range(20):
            yield number
            print(number)  # noqa: T201 - as a command does

    assert list(progress_bar.track(coming(), 20)) == list(range(20))
    assert capsys.readouterr().out.split() == [str(number) for number in range(20)]
    assert "/20" in screen.getvalue()
    assert "time left" in screen.getvalue()


def test_json_is_whole_or_no_json(here):
    told = _predict("photos", "--json").stdout
    assert json.dumps(json.loads(told), ensure_ascii=False, indent=2) + "\n" == told


def test_answers_of_photographs_without_an_end_come_at_once(here):
    endless = (here / f"photos/{name}.png" for name in cycle(["red", "blue"]))
    coming = image_predictions.predict_images(colours.open_session(here / "models/cnn.keras"), endless)
    assert [answer.label for answer in islice(coming, 1000)] == ["Red", "Blue"] * 500


def test_a_narrow_terminal_folds_the_table_and_cuts_nothing():
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
    said = " ".join(" ".join(lines).split())
    for word in ("unlike", "anything", "learned"):
        assert word in said
    assert "not an image, and a long reason" in said
