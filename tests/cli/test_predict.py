"""`realwaste predict`: what a model says of files, in words for people and in JSON for programs."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import cv2
import keras
import numpy as np
import pytest
from conftest import picture
from typer.testing import CliRunner

from benchmarks.parts.child import ROOT
from realwaste.__main__ import app
from realwaste.cli import image_paths, model_loading
from realwaste.core import library_settings
from realwaste.core.errors import UserError
from realwaste.core.file_names import printable
from realwaste.images import reader
from realwaste.images.reader import decode_image
from realwaste.models import cnn, image_predictions, model_file, novelty, session
from realwaste.models.model_file import Classifier, Facts
from realwaste.models.probabilities import apply_temperature

CLASSES = ("Glass", "Metal & Tin", "Ünrat")
NAMES = [
    "with space.jpg",
    "new\nline.jpg",
    "[red]rich[red].jpg",
    "日本語.jpg",
    "עברית.jpg",
    "हिन्दी.jpg",
    "🗑️.jpg",
    "-rf.jpg",
]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder as `dvc repro` leaves it, with a tiny CNN of random weights."""
    root = tmp_path_factory.mktemp("trained")
    facts = Facts("cnn", CLASSES, 32, "photos", cnn.BACKBONE, cnn.WEIGHTS, temperature=2.5)
    keras.utils.set_random_seed(1)
    model = cnn.build(32, len(CLASSES), batch_norm_momentum=0.9)
    model_file.save(root / "models/cnn.keras", Classifier(model, facts))
    (root / "metrics").mkdir()
    scores = {"dataset": "photos", "cnn": {"val_accuracy": 0.4}, "ensemble": {"val_accuracy": 0.9}, "pairs": {}}
    (root / "metrics/compare.json").write_text(json.dumps(scores))
    return root


@pytest.fixture
def here(trained, tmp_path, monkeypatch):
    """A present folder of the test's own, with that model and its scores in it."""
    for name in ("models", "metrics"):
        (tmp_path / name).symlink_to(trained / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _predict(*arguments):
    return CliRunner().invoke(app, ["predict", *map(str, arguments)])


def _strict(text):
    def refuse(constant):
        raise ValueError(constant)

    return json.loads(text, parse_constant=refuse)


def _photos(folder, names):
    folder.mkdir(parents=True, exist_ok=True)
    for seed, name in enumerate(names):
        (folder / name).write_bytes(cv2.imencode(".jpg", picture(seed, 50, 70))[1].tobytes())
    return [folder / name for name in names]


def test_probabilities_are_those_of_the_evaluation(here):
    paths = _photos(here / "photos", [f"{number:02}.jpg" for number in range(37)])
    expected = apply_temperature(
        session.open_session(here / "models/cnn.keras", batch_size=4).predict_files(paths)[0], 2.5
    )
    found = _strict(_predict("photos", "--json").stdout)
    assert found["model"] == {
        "name": "cnn",
        "classes": list(CLASSES),
        "image_size": 32,
        "dataset": "photos",
        "backbone": "CNN",
        "weights": "trained from random",
        "temperature": 2.5,
        "precision": "float32",
        "batch_size": 16,
        "origin": "given",
    }
    assert found["caution"] is None
    assert [answer["path"] for answer in found["answers"]] == [f"photos/{number:02}.jpg" for number in range(37)]
    for answer, row in zip(found["answers"], expected, strict=True):
        assert answer["error"] is None
        told = {one["class"]: one["probability"] for one in answer["predictions"]}
        np.testing.assert_allclose([told[name] for name in CLASSES], row, atol=1e-6)
        assert list(told.values()) == sorted(told.values(), reverse=True)


def test_a_model_answers_in_the_precision_in_which_it_was_tested(here):
    """Rounding in bfloat16 shows in the third digit: an answer in float32 would be another one."""
    paths = _photos(here, [f"{number}.jpg" for number in range(7)])
    classifier = model_file.load(here / "models/cnn.keras")
    facts = replace(classifier.facts, precision="mixed_bfloat16", temperature=1.0)
    model_file.save(here / "low.keras", replace(classifier, facts=facts))
    found = _strict(_predict(*paths, "--model", "low.keras", "--json").stdout)
    assert found["model"]["precision"] == "mixed_bfloat16"
    told = [{one["class"]: one["probability"] for one in answer["predictions"]} for answer in found["answers"]]
    answered = np.array([[one[name] for name in CLASSES] for one in told])
    low, full = (
        session.open_session(here / name).predict_files(paths)[0] for name in ("low.keras", "models/cnn.keras")
    )
    np.testing.assert_allclose(answered, low, atol=1e-6)
    assert np.abs(answered - full).max() > 1e-5


@pytest.mark.parametrize("batch_size", [1, 3, 16])
def test_an_answer_does_not_depend_on_its_batch_nor_on_unreadable_neighbours(batch_size, here):
    paths = _photos(here, [f"{number}.jpg" for number in range(7)])
    one = session.open_session(here / "models/cnn.keras", batch_size=1)
    alone = {path: next(image_predictions.predict_images(one, [path])) for path in paths}
    for broken in (here / "0.jpg", here / "3.jpg", here / "4.jpg", here / "5.jpg"):
        broken.write_bytes(b"no image")
    found = list(
        image_predictions.predict_images(session.open_session(here / "models/cnn.keras", batch_size=batch_size), paths)
    )
    assert [answer.path for answer in found] == paths
    assert [answer.error for answer in found] == [
        None if number in {1, 2, 6} else "not an image" for number in range(7)
    ]
    for answer in found:
        if answer.error is None:
            assert [one.name for one in answer.predictions] == [one.name for one in alone[answer.path].predictions]
            told = [one.probability for one in answer.predictions]
            np.testing.assert_allclose(told, [one.probability for one in alone[answer.path].predictions], atol=1e-6)


def test_few_pictures_are_in_memory_at_a_time(here, monkeypatch):
    paths = _photos(here, [f"{number}.jpg" for number in range(4)]) * 50
    read = []

    def noted(path, size):
        read.append(path)
        return reader.read_image(path, size)

    monkeypatch.setattr(image_predictions, "reader", SimpleNamespace(read_image=noted))
    coming = image_predictions.predict_images(session.open_session(here / "models/cnn.keras", batch_size=4), paths)
    next(coming)
    assert len(read) <= 4 * 4
    assert sum(1 for _ in coming) == 199


def test_unreadable_files_have_their_reason_and_the_others_their_answer(here):
    _, cut, gone = _photos(here, ["good.jpg", "cut.jpg", "gone.jpg"])
    cut.write_bytes(cut.read_bytes()[:-100])
    (here / "empty.png").touch()
    (here / "words.png").write_text("words")
    os.mkfifo(here / "pipe.jpg")
    gone.unlink()
    gone.symlink_to(here / "nowhere")
    done = _predict("good.jpg", "cut.jpg", "empty.png", "words.png", "pipe.jpg", "/dev/zero", "--json")
    assert done.exit_code == 1
    assert "5 of 6 photos have no prediction" in done.stderr
    told = {answer["path"]: answer for answer in _strict(done.stdout)["answers"]}
    assert {path: answer["error"] for path, answer in told.items()} == {
        "good.jpg": None,
        "cut.jpg": "truncated JPEG",
        "empty.png": "empty file",
        "words.png": "not an image",
        "pipe.jpg": "not a regular file",
        "/dev/zero": "not a regular file",
    }
    assert len(told["good.jpg"]["predictions"]) == 3
    assert told["cut.jpg"]["predictions"] == []
    assert next(image_predictions.predict_images(session.open_session(here / "models/cnn.keras"), [gone])).error == (
        "cannot be opened: No such file or directory"
    )
    table = _predict("good.jpg", "cut.jpg")
    assert table.exit_code == 1
    assert "truncated JPEG" in table.stdout


def test_every_name_comes_through(here):
    _photos(here / "photos", NAMES)
    (here / "photos/-rf.jpg").rename(here / "-rf.jpg")
    told = _strict(_predict("--json", "photos", "--", "-rf.jpg").stdout)["answers"]
    assert {Path(answer["path"]).name for answer in told} == set(NAMES)
    table = _predict("photos").stdout
    for name in NAMES[:-1]:
        assert printable(name) in table
    assert "new\\nline" in table


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
def test_a_name_that_is_no_text_and_one_that_would_steer_the_terminal(here):
    _photos(here, ["esc\x1b[2J.jpg", "\u202egpj.exe.jpg"])
    (photo,) = _photos(here, ["plain.jpg"])
    os.rename(photo, os.fsencode(here) + b"/bytes\xff.jpg")  # noqa: PTH104 - pathlib knows no bytes
    done = _predict(".", "--json")
    assert {answer["path"] for answer in _strict(done.stdout)["answers"]} == {
        "esc\x1b[2J.jpg",
        "\u202egpj.exe.jpg",
        "bytes\ufffd.jpg",
    }
    table = _predict(".").stdout
    assert "\x1b" not in table
    assert "\u202e" not in table
    assert "esc\\x1b[2J.jpg" in table
    assert "bytes\\udcff.jpg" in table


def test_top_and_the_table(here):
    _photos(here, ["a.jpg"])
    assert [len(_strict(_predict("a.jpg", "--json", "--top", top).stdout)["answers"][0]["predictions"])
            for top in (1, 2, 99)] == [1, 2, 3]  # fmt: skip
    best = _strict(_predict("a.jpg", "--json").stdout)["answers"][0]["predictions"][0]
    row = next(line for line in _predict("a.jpg", "--top", 1).stdout.splitlines() if "a.jpg" in line)
    assert row.split() == ["a.jpg", *best["class"].split(), f"{best['probability']:.1%}"]
    assert _predict("a.jpg", "--top", 0).exit_code == 2


def test_caution_stands_beside_the_answers_of_a_model_that_knows_nothing(here):
    _photos(here, ["a.jpg"])
    model = model_file.load(here / "models/cnn.keras").model
    facts = Facts("cnn", CLASSES, 32, "synthetic", cnn.BACKBONE, cnn.WEIGHTS, origin="synthetic")
    model_file.save(here / "other model.keras", Classifier(model, facts))
    done = _predict("a.jpg", "--json", "--model", here / "other model.keras")
    assert done.exit_code == 0
    assert _strict(done.stdout)["caution"] == facts.caution()
    assert "not photographs" in done.stderr
    assert "not photographs" not in _predict("a.jpg").stderr


def test_an_answer_that_is_no_number_is_no_answer(here):
    _photos(here, ["a.jpg"])
    classifier = model_file.load(here / "models/cnn.keras")
    classifier.model.set_weights([weight * np.nan for weight in classifier.model.get_weights()])
    model_file.save(here / "nan.keras", classifier)
    done = _predict("a.jpg", "--json", "-m", "nan.keras")
    assert done.exit_code == 1
    (answer,) = _strict(done.stdout)["answers"]
    assert answer["error"] == image_predictions.UNDEFINED


def test_overlays_keep_their_photograph_s_shape_and_never_take_each_other_s_name(here):
    _photos(here / "one", ["a.jpg"])
    _photos(here / "two", ["a.jpg", "long.jpg"])
    cv2.imwrite(str(here / "two/long.jpg"), picture(9, 1500, 3000))
    (here / "bad.jpg").write_bytes(b"x")
    done = _predict("one", "two", "bad.jpg", "--overlay", "out/deep", "--json")
    assert done.exit_code == 1
    told = _strict(done.stdout)["answers"]
    best = [answer["predictions"][0]["class"] for answer in told[:3]]
    written = {path.name: decode_image(path.read_bytes()).shape for path in (here / "out/deep").iterdir()}
    assert written == {
        f"a_{best[0]}.png": (50, 70, 3),
        f"a_{best[1]}-2.png": (50, 70, 3),
        f"long_{best[2]}.png": (512, 1024, 3),
    }
    assert [answer["overlay"] for answer in told] == [
        f"out/deep/a_{best[0]}.png",
        f"out/deep/a_{best[1]}-2.png",
        f"out/deep/long_{best[2]}.png",
        None,
    ]
    assert _strict(_predict("one", "--json").stdout)["answers"][0]["overlay"] is None


@pytest.mark.parametrize(
    ("images", "folder", "said"),
    [
        (["one"], "file", "a folder to write to, and file cannot be one"),
        (["one"], "file/deep", "a folder to write to"),
        (["one"], "/proc", "a folder to write to"),
        (["one"], "one", "outside of those with the photos"),
        (["one"], "one/looked", "outside of those with the photos"),
        (["."], "looked", "outside of those with the photos"),
        (["two", "link"], "one/looked", "outside of those with the photos"),
        (["one/*"], "one", "outside of those with the photos"),
        (["one/a.jpg"], "two/../one", "outside of those with the photos"),
    ],
)
def test_a_bad_folder_for_overlays_is_refused_before_the_model_is_loaded(images, folder, said, here, monkeypatch):
    _photos(here / "one", ["a.jpg"])
    _photos(here / "two", ["a.jpg"])
    (here / "file").touch()
    (here / "link").symlink_to("one")
    before = sorted(here.rglob("*"))
    monkeypatch.setattr(model_file, "load", None)
    refused = _predict(*images, "--overlay", folder)
    assert refused.exit_code == 1
    assert said in refused.stderr
    assert sorted(here.rglob("*")) == before


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("arguments", [["predict", "a.jpg", "--json"], ["--help"]])
def test_an_output_without_room_is_two_lines(arguments, here):
    _photos(here, ["a.jpg"])
    with Path("/dev/full").open("w") as full:
        done = _python("-m", "realwaste", *arguments, cwd=here, stdout=full)
    assert done.returncode == 1
    assert [line[9:].strip() for line in done.stderr.splitlines() if "INFO" not in line] == [
        "ERROR    There must be room to write the output. Received: 'No space left on device'.",
        "Free disk space, or write elsewhere.",
    ]


def test_files_folders_and_patterns(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    _photos(tmp_path / "b/deep", ["2.JPG", "1.png", ".hidden.jpg"])
    _photos(tmp_path / "b/__MACOSX", ["1.jpg"])
    _photos(tmp_path / "b/.cache", ["1.jpg"])
    _photos(tmp_path / ".own", ["x.jpg"])
    _photos(tmp_path, ["a.jpg", "c[1].jpg"])
    (tmp_path / "b/Thumbs.db").touch()
    (tmp_path / "b/notes.txt").touch()
    (tmp_path / "b/folder.jpg").mkdir()
    (tmp_path / "b/deep/up").symlink_to(tmp_path / "b")

    def found(*arguments):
        return [str(path) for path in image_paths.find_images(arguments)]

    assert found("b") == ["b/deep/1.png", "b/deep/2.JPG"]
    assert found("b/notes.txt", "a.jpg", "b", "a.jpg") == ["b/notes.txt", "a.jpg", "b/deep/1.png", "b/deep/2.JPG"]
    assert found("*.jpg") == ["a.jpg", "c[1].jpg"]
    assert found("c[1].jpg") == ["c[1].jpg"]
    assert found("b/*") == ["b/deep/1.png", "b/deep/2.JPG"]
    assert found(str(tmp_path / "b/deep/*.JPG")) == [str(tmp_path / "b/deep/2.JPG")]
    assert found("**/*.png")[0] == "b/deep/1.png"
    assert found(".own") == [".own/x.jpg"]
    for nothing in (["b/folder.jpg"], ["*.gif"], ["b/__MACOSX/*.txt"]):
        with pytest.raises(UserError, match="must be an image to predict"):
            image_paths.find_images(nothing)
    for missing in ("z.jpg", "", "new\nline.jpg"):
        with pytest.raises(UserError, match="There must be an image or a folder at"):
            image_paths.find_images([missing])


def test_which_model(here, monkeypatch):
    assert model_loading.find_model(None) == Path("models/cnn.keras")
    assert model_loading.find_model("cnn") == Path("models/cnn.keras")
    assert model_loading.find_model("some/where.keras") == Path("some/where.keras")
    assert model_loading.find_model("where.keras") == Path("where.keras")
    with pytest.raises(UserError, match=r"Received: 'cnm'.\nThere are: cnn. Name one of them."):
        model_loading.find_model("cnm")
    (here / "metrics").unlink()
    with pytest.raises(UserError, match=r"there must be metrics/compare.json: .* is used.\nThere are: cnn."):
        model_loading.find_model(None)
    (here / "metrics").mkdir()
    for damaged in ("{", "{}", "[]", '{"cnn": {"val_accuracy": null}}', '{"cnn": 1}'):
        (here / "metrics/compare.json").write_text(damaged)
        with pytest.raises(UserError, match="must hold a validation accuracy for each model"):
            model_loading.find_model(None)
    (here / "models").unlink()
    with pytest.raises(UserError, match=r"There is no model in .*: run `dvc repro` to train some, or `dvc pull`"):
        model_loading.find_model("cnn")


MISTAKES = """
import sys
from realwaste.__main__ import main
for arguments in (
    ["a.jpg", "-m", "cnm"],
    ["a.jpg", "-m", "nowhere.keras"],
    ["a.jpg", "-m", "a.jpg"],
    ["a.jpg", "-m", "foreign.keras"],
    ["a.jpg", "-m", "."],
    ["b.jpg"],
    ["empty"],
):
    sys.argv = ["realwaste", "predict", *arguments]
    try:
        main()
    except SystemExit as ended:
        print(ended.code, *sorted({"tensorflow", "keras"} & sys.modules.keys()), flush=True)
"""


def test_mistakes_are_told_in_two_lines_before_tensorflow_is_imported(here):
    _photos(here, ["a.jpg"])
    (here / "foreign.keras").write_bytes(b"PK not a model")
    (here / "empty").mkdir()
    done = _python("-c", MISTAKES, cwd=here)
    assert done.stdout.split("\n") == ["1"] * 7 + [""]
    assert "Traceback" not in done.stderr
    assert done.stderr.count("ERROR") == 7


def test_only_tensorflow_s_notes_are_dropped_around_its_import(capfd, monkeypatch):
    def said():
        os.write(2, b"I0000 00:00:1795450295.147945   12070 port.cc:153] oneDNN custom operations are on.\n")
        sys.stderr.write("a warning of somebody else\n")
        raise ImportError

    for level, kept in {"3": 1, "0": 2}.items():
        monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", level)
        with pytest.raises(ImportError), library_settings.drop_import_logs():
            said()
        lines = capfd.readouterr().err.splitlines()
        assert len(lines) == kept
        assert lines[-1] == "a warning of somebody else"


def _python(*arguments, cwd, stdout=subprocess.PIPE, **environment):
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), **environment}
    environment.pop("TF_CPP_MIN_LOG_LEVEL", None)
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env=environment,
        stdout=stdout,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        check=False,
    )


def test_what_is_unlike_anything_learned_is_said_beside_the_classes(here):
    paths = _photos(here, [f"{number}.jpg" for number in range(5)])
    classifier = model_file.load(here / "models/cnn.keras")
    before = _strict(_predict(*paths, "--json").stdout)
    assert before["strangeness_threshold"] is None
    assert all(answer["strangeness"] is None and answer["unlike"] is None for answer in before["answers"])

    pixels = np.stack([reader.read_image(path, 32) for path in paths])
    _, features = session.from_classifier(classifier)(pixels)
    known = novelty.fit(features[:1], features[:1])
    assert known is not None
    strange = known.scores(features)
    threshold = float(np.sort(strange)[2])
    model_file.save(here / "known.keras", replace(classifier, novelty=replace(known, threshold=threshold)))
    found = _strict(_predict(*paths, "--json", "--model", "known.keras").stdout)
    assert found["strangeness_threshold"] == threshold
    assert [answer["strangeness"] for answer in found["answers"]] == pytest.approx(list(strange), abs=1e-5)
    unlike = [answer["unlike"] for answer in found["answers"]]
    assert unlike == [answer["strangeness"] > threshold for answer in found["answers"]]
    assert 2 <= sum(unlike) <= 3
    for answer, same in zip(found["answers"], before["answers"], strict=True):
        assert [one["class"] for one in answer["predictions"]] == [one["class"] for one in same["predictions"]]

    (here / "broken.jpg").write_text("words")
    told = _predict(*paths, "broken.jpg", "--model", "known.keras").stdout.splitlines()
    lines = [next(line for line in told if path.name in line) for path in paths]
    assert [novelty.UNLIKE in line for line in lines] == unlike
    assert sum(novelty.UNLIKE in line for line in told) == sum(unlike)
