"""`realwaste models`, `info` and `compare`, and REALWASTE_MODEL: which models are here, and what is known of them."""

import io
import json
import zipfile
from itertools import count
from string import ascii_lowercase

import colours
import cv2
import numpy as np
import pytest
from colours import BLUE, GREEN, RED, TEAL, photo
from rich.console import Console
from typer.testing import CliRunner

from realwaste.__main__ import app
from realwaste.cli import model_loading, standard_output
from realwaste.core.errors import UserError
from realwaste.evaluation import scores
from realwaste.models import registry
from realwaste.report import model_card

SCORES = {"val_accuracy": 0.75, "test_accuracy": 0.5, "test_accuracy_low": 0.4, "test_accuracy_high": 0.6}
ROW = SCORES | {"backbone": "Eye", "weights": "sharp", "latency_ms": 12.4}


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A present folder as a run leaves it: two models, one that is off, and their scores."""
    colours.use(monkeypatch)
    monkeypatch.chdir(tmp_path)
    colours.save(tmp_path / "models/irv2.keras")
    colours.save(tmp_path / "models/cnn.keras", weights="random")
    registry.mark_off(tmp_path / "models/edge.keras")
    (tmp_path / "metrics").mkdir()
    cnn = ROW | {"weights": "random", "val_accuracy": 0.25}
    record = {"dataset": "colours", "cnn": cnn, "irv2": ROW, "ensemble": {"val_accuracy": 1.0}}
    (tmp_path / "metrics/compare.json").write_text(json.dumps(record))
    return tmp_path


def _do(*arguments, status=0):
    done = CliRunner().invoke(app, list(map(str, arguments)))
    assert done.exit_code == status, (done.stderr, done.exception)
    return done


def _json(*arguments):
    return json.loads(_do(*arguments, "--json").stdout, parse_constant=pytest.fail)


def _words(text):
    return " ".join(text.split())


def test_what_is_here(here):
    told = _json("models")
    assert (told["folder"], told["scores_from"]) == ("models", "metrics/compare.json")
    assert [(one["name"], one["chosen"]) for one in told["models"]] == [("cnn", False), ("irv2", True)]
    irv2 = told["models"][1]
    assert irv2["scores"] == SCORES | {"latency_ms": 12.4}
    assert irv2["model"]["classes"] == list(colours.CLASSES)
    assert irv2["bytes"] == (here / "models/irv2.keras").stat().st_size
    done = _do("models")
    lines = {line.split()[0]: line.split() for line in done.stdout.splitlines() if line.strip()}
    size = f"{irv2['bytes'] / 1e6:.1f}"
    assert lines["irv2"] == ["irv2", "Eye", "sharp", "colours", "0.750", "0.500", "0.400", "to", "0.600", size, "12"]
    assert "hardly better than chance" in " ".join(lines["cnn"])
    assert "without --model, irv2 is used: the best by validation accuracy in metrics/compare.json" in _words(
        done.stderr
    )


def test_scores_of_another_run_are_not_told_and_a_damaged_file_is_listed(here):
    colours.save(here / "models/irv2.keras", dataset="other colours")
    (here / "models/mine.keras").write_bytes(b"PK no model")
    told = {one["name"]: one for one in _json("models")["models"]}
    assert told["irv2"]["scores"] is None
    assert told["cnn"]["scores"]["val_accuracy"] == 0.25
    assert "must be a model that this pipeline saved" in told["mine"]["error"]
    lines = {line.split()[0]: line.split() for line in _do("models").stdout.splitlines() if line.strip()}
    assert lines["irv2"][4:6] == ["colours", "–"]
    assert "this pipeline saved" in " ".join(lines["mine"])
    (here / "metrics/compare.json").write_text("{")
    done = _do("models")
    assert "so no scores are shown" in _words(done.stderr)


def test_without_models_there_is_a_way_to_some(here):
    (here / "models").rename(here / "elsewhere")
    said = _words(_do("models", status=1).stderr)
    assert "run `dvc repro` to train some, or `dvc pull` to fetch them" in said


def _card(dataset="colours", backbone="Eye"):
    about = {"tags": ["waste", backbone], "model-index": [{"results": [{"dataset": {"name": dataset}}]}]}
    return f"---\n{json.dumps(about)}\n---\n\n# {backbone}\n\n| what | how much |\n|---|---|\n| Accuracy | 0.5000 |\n"


def test_a_model_s_card(here, monkeypatch):
    (here / "models/irv2.md").write_text(_card())
    done = _do("info")
    assert done.stdout == _card().partition("---\n\n")[2], "Markdown where it goes to a file or pipe"
    screen = io.StringIO()
    terminal = Console(file=screen, force_terminal=True, width=60, no_color=True)
    monkeypatch.setattr(standard_output, "console", lambda: terminal)
    _do("info", "irv2")
    assert "Accuracy  0.5000" in screen.getvalue()
    assert "|---" not in screen.getvalue()
    told = _json("info", "irv2")
    assert (told["model"]["name"], told["scores"]["test_accuracy"]) == ("irv2", 0.5)
    assert (told["strangeness_threshold"], told["learned"]) == (0.35, 9)
    assert told["card"].startswith("# Eye")


@pytest.mark.parametrize("card", [None, _card(dataset="other"), _card(backbone="Nose")])
def test_without_a_card_of_its_own_a_model_s_file_speaks(card, here):
    if card:
        (here / "models/cnn.md").write_text(card)
    done = _do("info", "cnn")
    said = _words(done.stdout)
    assert "classes 3: Blue, Green, Red" in said
    assert "backbone Eye, weights: random" in said
    assert "above a strangeness of 0.350, measured against 9 training images" in said
    assert "hardly better than chance" in _words(done.stderr)
    assert ("models/cnn.md is the card of another model" in _words(done.stderr)) == (card is not None)
    assert _json("info", "cnn")["card"] is None


def test_a_card_whose_model_is_not_here_says_so(here):
    (here / "models/densenet.md").write_text(_card())
    (here / "models/edge.md").write_text(model_card.OFF_CARD)
    done = _do("info", "densenet")
    assert "# Eye" in done.stdout
    assert "densenet, whose file is not here: `dvc pull` fetches it" in _words(done.stderr)
    assert _do("info", "edge").stdout == model_card.OFF_CARD
    assert "There are: cnn, irv2. Name one of them." in _words(_do("info", "vgg", status=1).stderr)
    assert "../secret" in _do("info", "../secret", status=1).stderr


def _said(done):
    return _words(done.stderr)


def test_the_variable_names_a_file(here, monkeypatch):
    mine = colours.save(here / "deep/mine.keras")
    monkeypatch.setenv(model_loading.MODEL_VARIABLE, str(mine))
    photo(here / "red.png", RED)
    done = _do("predict", "red.png", "--json")
    assert json.loads(done.stdout)["model"]["name"] == "mine"
    assert f"{mine}: named by REALWASTE_MODEL" in _said(done).replace("- ", "-")
    assert (
        json.loads(_do("predict", "red.png", "--json", "-m", here / "models/cnn.keras").stdout)["model"]["name"]
        == "cnn"
    )


def test_the_variable_names_a_folder_that_takes_the_place_of_models(here, monkeypatch, tmp_path_factory):
    root = tmp_path_factory.mktemp("share")
    (here / "models").rename(root / "models")
    (here / "metrics").rename(root / "metrics")
    photo(here / "red.png", RED)
    photo(here / "set/red/red.png", RED)
    monkeypatch.setenv(model_loading.MODEL_VARIABLE, str(root / "models"))
    best, said = model_loading.choose_model(None)
    assert best == root / "models/irv2.keras"
    assert said == f"the best by validation accuracy in {root}/metrics/compare.json of REALWASTE_MODEL"
    assert "a model of REALWASTE_MODEL" in _said(_do("predict", "red.png", "-m", "cnn"))
    for verb in (["evaluate", "set"], ["info"], ["models"]):
        assert "of REALWASTE_MODEL" in _said(_do(*verb)), verb
    assert [one["name"] for one in _json("models")["models"]] == ["cnn", "irv2"]
    assert set(_json("predict", "red.png", "--all-models")["models"]) == {"cnn", "irv2"}
    assert _json("compare", "cnn", "irv2", "set")["images"] == 1
    (root / "metrics/compare.json").unlink()
    with pytest.raises(UserError, match="There are: cnn, irv2"):
        model_loading.find_model(None)
    (root / "models/cnn.keras").unlink()
    assert model_loading.choose_model(None) == (root / "models/irv2.keras", "the only model of REALWASTE_MODEL")


def test_a_variable_that_leads_nowhere_is_named_and_an_empty_one_is_none(here, monkeypatch):
    photo(here / "red.png", RED)
    monkeypatch.setenv(model_loading.MODEL_VARIABLE, "nowhere")
    assert "The variable REALWASTE_MODEL must name" in _said(_do("predict", "red.png", status=1))
    assert "The variable REALWASTE_MODEL must name" in _said(_do("models", status=1))
    monkeypatch.setenv(model_loading.MODEL_VARIABLE, "")
    assert model_loading.find_model(None) == registry.model_path("irv2")


def _set(here, **colours_of):
    """set/<folder>/<number>.png; no two pictures have the same bytes."""
    shades = count(1)
    for name, own in colours_of.items():
        for number, colour in enumerate(own):
            photo(here / f"set/{name}/{number}.png", colour, shade=next(shades))


def test_two_models_on_the_same_photographs(here):
    """irv2 knows its colours; cnn calls red blue and blue red."""
    colours.save(here / "models/cnn.keras", ("Red", "Green", "Blue"))
    _set(here, red=[RED] * 6, GREEN=[GREEN, TEAL], blue=[RED, BLUE])
    told = _json("compare", "irv2", "models/cnn.keras", "set")
    first = np.array([True] * 8 + [False, True])
    second = np.array([False] * 6 + [True, True] + [True, False])
    assert [one["accuracy"] for one in told["models"]] == [0.9, 0.3]
    assert told["difference"] == pytest.approx(0.6)
    assert (told["only_first_right"], told["only_second_right"]) == (7, 1)
    assert told["mcnemar_p"] == pytest.approx(scores.mcnemar_test(first, second))
    low, high = scores.difference_interval(first, second)
    assert told["difference_intervals"]["images"] == {"low": pytest.approx(low), "high": pytest.approx(high)}
    assert told["p"] == max(told["mcnemar_p"], told["permutation_p"])
    assert told["better"] is None, "all reds are alike: one case, not six"
    done = _do("compare", "irv2", "models/cnn.keras", "set")
    assert "no difference shown" in done.stdout
    lines = [line.split()[:5] for line in done.stdout.splitlines()]
    assert ["irv2", "3", "10", "9", "0.900"] in lines
    assert ["models/cnn.keras", "3", "10", "3", "0.300"] in lines


def test_a_better_model_is_called_so(here):
    colours.save(here / "models/cnn.keras", ("Red", "Green", "Blue"))
    rng = np.random.default_rng(0)
    (here / "set/red").mkdir(parents=True)
    for name in ascii_lowercase[:12]:  # no two are alike, and no numbers say that some were shot together
        pixels = rng.integers(0, 255, (40, 40, 3), dtype=np.uint8) // (4, 4, 1)
        cv2.imwrite(str(here / f"set/red/{name}.png"), pixels.astype(np.uint8))
    told = _json("compare", "cnn", "irv2", "set")
    assert (told["images"], told["groups"]) == (12, 12)
    assert (told["better"], told["difference"]) == ("second", -1.0)
    assert told["mcnemar_p"] == told["permutation_p"] == pytest.approx(2 / 2**12)
    assert "irv2 is better" in _do("compare", "cnn", "irv2", "set").stdout


def test_classes_that_one_of_them_knows_are_said_and_not_compared(here):
    colours.save(here / "models/cnn.keras", ("blue", "Violet", "RED"))
    _set(here, red=[RED, RED], GREEN=[GREEN], blue=[BLUE])
    photo(here / "set/paper/0.png", RED, shade=99)
    told = _json("compare", "irv2", "cnn", "set")
    assert told["images"] == 3
    assert [one["accuracy"] for one in told["models"]] == [1.0, 1.0], "names are the same whatever their case"
    assert [one["only_it_knows"] for one in told["models"]] == [["Green"], ["Violet"]]
    said = _words(_do("compare", "irv2", "cnn", "set").stderr)
    assert "only irv2 has the classes Green" in said
    assert "only cnn has the classes Violet" in said
    assert "2 photographs are left out: not both models have their classes" in said


def test_what_cannot_be_compared_is_refused_and_no_image_is_named(here):
    colours.save(here / "models/other.keras", ("Cat", "Dog"))
    _set(here, red=[RED], GREEN=[GREEN], blue=[BLUE])
    assert "must have a class in common" in _words(_do("compare", "irv2", "other", "set", status=1).stderr)
    (here / "set/red/words.png").write_text("words")
    done = _do("compare", "irv2", "cnn", "set", "--json", status=1)
    assert json.loads(done.stdout)["rejected"] == [{"path": "red/words.png", "reason": "not an image"}]
    assert "red/words.png (not an image)" in _words(done.stderr)
    with zipfile.ZipFile(here / "set.zip", "w") as bundle:
        bundle.write(here / "set/red/0.png", "deep/red/0.png")
    assert _json("compare", "irv2", "cnn", "set.zip")["images"] == 1
