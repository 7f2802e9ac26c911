"""`realwaste models`, `info` and `compare`, and the variable REALWASTE_MODEL."""

import io
import json
import shutil
import zipfile
from itertools import count

import colours
import cv2
import numpy as np
import pandas as pd
import pytest
from colours import BLUE, GREEN, RED, TEAL, photo, run, run_json, words
from rich.console import Console

from realwaste.cli import compare_models, model_loading, standard_output
from realwaste.core.errors import UserError
from realwaste.dataset import leakage, manifest
from realwaste.evaluation import external_sets, prediction_table, scores
from realwaste.models import registry
from realwaste.models.model_file import ModelMetadata
from realwaste.report import comparison

SCORES = {"val_accuracy": 0.75, "test_accuracy": 0.5, "test_accuracy_low": 0.4, "test_accuracy_high": 0.6}
ROW = SCORES | {"backbone": "Eye", "weights": "sharp", "latency_ms": 12.4}


@pytest.fixture
def project(tmp_path, monkeypatch):
    """The current folder after a run: two models and their scores."""
    colours.use(monkeypatch)
    monkeypatch.chdir(tmp_path)
    colours.save(tmp_path / "models/irv2.keras")
    colours.save(tmp_path / "models/cnn.keras", weights="random")
    (tmp_path / "metrics").mkdir()
    cnn = ROW | {"weights": "random", "val_accuracy": 0.25}
    record = {"dataset": "colours", "cnn": cnn, "irv2": ROW, "ensemble": {"val_accuracy": 1.0}}
    (tmp_path / "metrics/compare.json").write_text(json.dumps(record))
    return tmp_path


def _cells_by_name(result):
    return {line.split()[0]: line.split() for line in result.stdout.splitlines() if line.strip()}


def test_models_lists_the_saved_models_with_their_scores(project):
    output = run_json("models")
    assert (output["folder"], output["scores_from"]) == ("models", "metrics/compare.json")
    assert [(model["name"], model["chosen"]) for model in output["models"]] == [("cnn", False), ("irv2", True)]
    irv2 = output["models"][1]
    assert irv2["scores"] == SCORES | {"latency_ms": 12.4}
    assert irv2["model"]["classes"] == list(colours.CLASSES)
    assert irv2["bytes"] == (project / "models/irv2.keras").stat().st_size
    result = run("models")
    lines = _cells_by_name(result)
    size = f"{irv2['bytes'] / 1e6:.1f}"
    assert lines["irv2"] == ["irv2", "Eye", "sharp", "colours", "0.750", "0.500", "0.400", "to", "0.600", size, "12"]
    assert "hardly better than chance" in " ".join(lines["cnn"])
    reason = "without --model, irv2 is used: the best by validation accuracy in metrics/compare.json"
    assert reason in words(result.stderr)


def test_a_model_with_random_weights_is_the_default_only_if_there_is_no_other(project):
    file = project / "metrics/compare.json"
    record = json.loads(file.read_text())
    record["cnn"]["val_accuracy"] = 0.99
    file.write_text(json.dumps(record))
    assert model_loading.choose_model(None)[0] == registry.model_path("irv2")
    (project / "models/irv2.keras").unlink()
    assert [(model["name"], model["chosen"]) for model in run_json("models")["models"]] == [("cnn", True)]


def test_scores_of_another_run_are_not_shown_and_a_damaged_file_is_listed(project):
    colours.save(project / "models/irv2.keras", dataset="other colours")
    (project / "models/mine.keras").write_bytes(b"PK no model")
    output = {model["name"]: model for model in run_json("models")["models"]}
    assert output["irv2"]["scores"] is None
    assert output["cnn"]["scores"]["val_accuracy"] == 0.25
    assert "must be a model that this pipeline saved" in output["mine"]["error"]
    lines = _cells_by_name(run("models"))
    assert lines["irv2"][4:6] == ["colours", "–"]
    assert "this pipeline saved" in " ".join(lines["mine"])
    (project / "metrics/compare.json").write_text("{")
    assert "so no scores are shown" in words(run("models").stderr)


def test_without_models_the_error_says_how_to_train_one(project):
    (project / "models").rename(project / "elsewhere")
    text = words(run("models", status=1).stderr)
    assert "`realwaste train PHOTOS` trains one, `dvc repro` those of the pipeline." in text


def _model_card(dataset="colours", backbone="Eye"):
    header = {"tags": ["waste", backbone], "model-index": [{"results": [{"dataset": {"name": dataset}}]}]}
    return f"---\n{json.dumps(header)}\n---\n\n# {backbone}\n\n| what | how much |\n|---|---|\n| Accuracy | 0.5000 |\n"


def test_info_shows_the_model_card(project, monkeypatch):
    (project / "models/irv2.md").write_text(_model_card())
    result = run("info")
    assert result.stdout == _model_card().partition("---\n\n")[2], "a file or pipe gets Markdown"
    screen = io.StringIO()
    terminal = Console(file=screen, force_terminal=True, width=60, no_color=True)
    monkeypatch.setattr(standard_output, "console", lambda: terminal)
    run("info", "irv2")
    assert "Accuracy  0.5000" in screen.getvalue()
    assert "|---" not in screen.getvalue()
    output = run_json("info", "irv2")
    assert (output["model"]["name"], output["scores"]["test_accuracy"]) == ("irv2", 0.5)
    assert (output["strangeness_threshold"], output["learned"]) == (0.35, 9)
    assert output["card"].startswith("# Eye")


@pytest.mark.parametrize("card", [None, _model_card(dataset="other"), _model_card(backbone="Nose")])
def test_without_its_own_card_info_shows_the_metadata_of_the_model(card, project):
    if card:
        (project / "models/cnn.md").write_text(card)
    result = run("info", "cnn")
    text = words(result.stdout)
    assert "classes 3: Blue, Green, Red" in text
    assert "backbone Eye, weights: random" in text
    assert "above a strangeness of 0.350, measured against 9 training images" in text
    assert "hardly better than chance" in words(result.stderr)
    assert ("models/cnn.md is the card of another model" in words(result.stderr)) == (card is not None)
    assert run_json("info", "cnn")["card"] is None


def test_info_warns_if_the_model_of_a_card_is_missing(project):
    (project / "models/densenet.md").write_text(_model_card())
    result = run("info", "densenet")
    assert "# Eye" in result.stdout
    assert "densenet, whose file is not here: `dvc repro` makes it" in words(result.stderr)
    assert "There are: cnn, irv2. Name one of them." in words(run("info", "vgg", status=1).stderr)
    assert "../secret" in run("info", "../secret", status=1).stderr


def test_realwaste_model_may_name_a_file(project, monkeypatch):
    path = colours.save(project / "deep/mine.keras")
    monkeypatch.setenv(model_loading.MODEL_VARIABLE, str(path))
    photo(project / "red.png", RED)
    result = run("predict", "red.png", "--json")
    assert json.loads(result.stdout)["model"]["name"] == "mine"
    assert f"{path}: named by REALWASTE_MODEL" in words(result.stderr).replace("- ", "-")
    assert run_json("predict", "red.png", "-m", project / "models/cnn.keras")["model"]["name"] == "cnn"


def test_realwaste_model_may_name_a_folder_that_replaces_models(project, monkeypatch, tmp_path_factory):
    root = tmp_path_factory.mktemp("share")
    (project / "models").rename(root / "models")
    (project / "metrics").rename(root / "metrics")
    photo(project / "red.png", RED)
    photo(project / "set/red/red.png", RED)
    monkeypatch.setenv(model_loading.MODEL_VARIABLE, str(root / "models"))
    best, reason = model_loading.choose_model(None)
    assert best == root / "models/irv2.keras"
    assert reason == f"the best by validation accuracy in {root}/metrics/compare.json of REALWASTE_MODEL"
    assert "a model of REALWASTE_MODEL" in words(run("predict", "red.png", "-m", "cnn").stderr)
    for verb in (["evaluate", "set"], ["info"], ["models"]):
        assert "of REALWASTE_MODEL" in words(run(*verb).stderr), verb
    assert [model["name"] for model in run_json("models")["models"]] == ["cnn", "irv2"]
    assert set(run_json("predict", "red.png", "--all-models")["models"]) == {"cnn", "irv2"}
    assert run_json("compare", "cnn", "irv2", "set")["images"] == 1
    (root / "metrics/compare.json").unlink()
    with pytest.raises(UserError, match="There are: cnn, irv2"):
        model_loading.choose_model(None)
    (root / "models/cnn.keras").unlink()
    assert model_loading.choose_model(None) == (root / "models/irv2.keras", "the only model of REALWASTE_MODEL")


def test_realwaste_model_with_a_missing_path_is_an_error_and_empty_is_ignored(project, monkeypatch):
    photo(project / "red.png", RED)
    monkeypatch.setenv(model_loading.MODEL_VARIABLE, "nowhere")
    for command in (["predict", "red.png"], ["models"]):
        assert "The variable REALWASTE_MODEL must name" in words(run(*command, status=1).stderr)
    monkeypatch.setenv(model_loading.MODEL_VARIABLE, "")
    assert model_loading.choose_model(None)[0] == registry.model_path("irv2")


def _write_set(project, **colours_of):
    """Write set/<class>/<number>.png; no two images have the same bytes."""
    shades = count(1)
    for name, colours_of_class in colours_of.items():
        for number, colour in enumerate(colours_of_class):
            photo(project / f"set/{name}/{number}.png", colour, shade=next(shades))


def test_compare_two_models_on_the_same_photographs(project):
    """irv2 is right; cnn predicts blue for red and red for blue."""
    colours.save(project / "models/cnn.keras", ("Red", "Green", "Blue"))
    _write_set(project, red=[RED] * 6, GREEN=[GREEN, TEAL], blue=[RED, BLUE])
    output = run_json("compare", "irv2", "models/cnn.keras", "set")
    first, second = np.array([True] * 8 + [False, True]), np.array([False] * 6 + [True, True, True, False])
    assert [model["accuracy"] for model in output["models"]] == [0.9, 0.3]
    assert output["difference"] == pytest.approx(0.6)
    assert (output["only_first_right"], output["only_second_right"]) == (7, 1)
    assert output["mcnemar_p"] == pytest.approx(scores.mcnemar_test(first, second))
    low, high = scores.difference_interval(first, second)
    assert output["difference_intervals"]["images"] == {"low": pytest.approx(low), "high": pytest.approx(high)}
    assert output["p"] == max(output["mcnemar_p"], output["permutation_p"])
    assert output["better"] is None, "the six red images are one group"
    result = run("compare", "irv2", "models/cnn.keras", "set")
    assert "too few different objects to tell" in result.stdout
    lines = [line.split()[:5] for line in result.stdout.splitlines()]
    assert ["irv2", "(Eye)", "3", "10", "9"] in lines
    assert ["models/cnn.keras", "3", "10", "3", "0.300"] in lines


def test_a_significantly_better_model_is_named(project):
    colours.save(project / "models/cnn.keras", ("Red", "Green", "Blue"))
    rng = np.random.default_rng(0)
    (project / "set/red").mkdir(parents=True)
    for name in "abcdefghijkl":  # no near-duplicates and no file numbers: each image is a group
        pixels = rng.integers(0, 255, (40, 40, 3), dtype=np.uint8) // (4, 4, 1)
        cv2.imwrite(str(project / f"set/red/{name}.png"), pixels.astype(np.uint8))
    output = run_json("compare", "cnn", "irv2", "set")
    assert (output["images"], output["groups"]) == (12, 12)
    assert (output["better"], output["difference"]) == ("second", -1.0)
    assert output["mcnemar_p"] == output["permutation_p"] == pytest.approx(2 / 2**12)
    assert "irv2 (Eye) is better" in words(run("compare", "cnn", "irv2", "set").stdout)


def test_the_verdict_on_the_test_photographs_is_that_of_the_pipeline(tmp_path, images):
    """Six classes of 60 numbered files; twelve test photographs of each are copied with new numbers."""
    classes = tuple("abcdef")
    images(inside="all", **dict.fromkeys(classes, 60))
    for file in (tmp_path / "all").glob("*/*.jpg"):
        number = int(file.stem.split("_")[1])
        if number % 5 == 0:
            (tmp_path / "test" / file.parent.name).mkdir(parents=True, exist_ok=True)
            shutil.copy(file, tmp_path / f"test/{file.parent.name}/{file.parent.name}_{number // 5:02}.jpg")
    table = manifest.scan(tmp_path / "all").manifest
    splits = table.assign(group=leakage.assign_groups(table, 10), split="test")[table["number"] % 5 == 0]
    splits = splits.sort_values(["label", "number"])
    labels, rng = np.repeat(np.arange(6), 12), np.random.default_rng(0)
    predicted = [np.where(rng.random(72) < accuracy, labels, (labels + 1) % 6) for accuracy in (0.4, 0.8)]
    rows = [
        prediction_table.build_rows(splits, model, np.eye(6)[predicted_labels], classes)
        for model, predicted_labels in zip(("cnn", "irv2"), predicted, strict=True)
    ]
    (pipeline,) = comparison.compare_pairs(pd.concat(rows)).values()
    metadata = [ModelMetadata(model, classes, 8, "photos", "Eye", "sharp") for model in ("cnn", "irv2")]
    with compare_models.open_pair(str(tmp_path / "test"), metadata[0], metadata[1]) as pair:
        command = compare_models.compare_predictions(pair, ("cnn", "irv2"), [np.eye(6)[rows] for rows in predicted])
        metrics = external_sets.evaluate_predictions(pair.test_set, metadata[1], np.eye(6)[predicted[1]])
    assert (command["images"], command["verdict"]) == (72, pipeline["verdict"]) == (72, "irv2 is better")
    assert command["mcnemar_p"] == pipeline["mcnemar_p"]
    recalls = {(row["recall"], row["recall_low"], row["recall_high"]) for row in metrics["per_class"].values()}
    assert len(recalls) > 1
    assert all(0.2 < low < recall <= high <= 1 for recall, low, high in recalls)


def test_classes_of_only_one_model_are_named_and_not_compared(project):
    colours.save(project / "models/cnn.keras", ("blue", "Violet", "RED"))
    _write_set(project, red=[RED, RED], GREEN=[GREEN], blue=[BLUE])
    photo(project / "set/paper/0.png", RED, shade=99)
    output = run_json("compare", "irv2", "cnn", "set")
    assert output["images"] == 3
    assert [model["accuracy"] for model in output["models"]] == [1.0, 1.0], "names are equal in any case"
    assert [model["only_it_knows"] for model in output["models"]] == [["Green"], ["Violet"]]
    text = words(run("compare", "irv2", "cnn", "set").stderr)
    assert "only irv2 (Eye) has the classes Green" in text
    assert "only cnn has the classes Violet" in text
    assert "2 photographs are left out: not both models have their classes" in text


def test_models_without_a_common_class_are_refused_and_unreadable_files_named(project):
    colours.save(project / "models/other.keras", ("Cat", "Dog"))
    _write_set(project, red=[RED])
    assert "must have a class in common" in words(run("compare", "irv2", "other", "set", status=1).stderr)
    (project / "set/red/words.png").write_text("words")
    result = run("compare", "irv2", "cnn", "set", "--json", status=1)
    assert json.loads(result.stdout)["rejected"] == [{"path": "red/words.png", "reason": "not an image"}]
    assert "red/words.png (not an image)" in words(result.stderr)
    with zipfile.ZipFile(project / "set.zip", "w") as archive:
        archive.write(project / "set/red/0.png", "deep/red/0.png")
    assert run_json("compare", "irv2", "cnn", "set.zip")["images"] == 1
