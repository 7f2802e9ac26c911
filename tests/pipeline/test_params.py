"""Validation of params.yaml: errors name the key, the rule and the received value; valid values stay unchanged."""

import copy
import functools
import importlib.util
import operator
import re
from typing import Any

import pytest
import yaml
from dvc.utils.serialize import modify_yaml

from benchmarks.parts.child import ROOT
from realwaste.core.errors import UserError
from stages.launcher import combinations, params_file

VALID_PARAMS = params_file.read_yaml(ROOT / "params.yaml")
DELETED = object()
NO_SECTIONS = r"must hold the sections base, fetch, .*\n.*git restore params\.yaml"


def test_the_committed_params_are_valid_and_stay_unchanged():
    assert params_file.check(VALID_PARAMS).model_dump() == VALID_PARAMS


def test_dvc_changes_only_one_line_of_params_yaml(tmp_path):
    lines = (ROOT / "params.yaml").read_text(encoding="utf-8").splitlines()
    (tmp_path / "params.yaml").write_text("\n".join([*lines, ""]), encoding="utf-8")
    with modify_yaml(str(tmp_path / "params.yaml")) as params:
        params["train_cnn"]["epochs"] = 21
    changed = (tmp_path / "params.yaml").read_text(encoding="utf-8").splitlines()
    assert [pair for pair in zip(lines, changed, strict=True) if pair[0] != pair[1]] == [
        ("  epochs: 20", "  epochs: 21")
    ]


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("train_cnn.epochs", "ten", "valid integer"),
        ("train_cnn.epochs", 0, "greater than or equal to 1"),
        ("train_cnn.epochs", 1.5, "valid integer"),
        ("train_cnn.epochs", True, "valid integer"),
        ("train_cnn.learning_rate", -0.1, "greater than 0"),
        ("train_cnn.learning_rate", float("inf"), "finite"),
        ("train_cnn.shuffle", "yes", "valid boolean"),
        ("train_cnn.optimizer", "rmsprop", "'adam', 'sgd' or 'sgd_momentum'"),
        ("train_cnn.normalization", "group", "'batch' or 'none'"),
        ("train_cnn.activation", "rellu", "'relu', "),
        ("lr_sweep.learning_rates", [], "at least 1 item"),
        ("lr_sweep.learning_rates", [0.1, 0.1], "the values must be unique"),
        ("lr_sweep.learning_rates", [0.1, 0], "greater than 0"),
        ("lr_sweep.prune", "asha", "valid boolean"),
        ("split.train", 0.7, "sum to 1"),
        ("split.test", 0, "greater than 0"),
        ("split.strategy", "mine", "'auto', 'stratified', 'grouped' or 'given'"),
        ("base.seed", -1, "greater than or equal to 0"),
        ("base.seeds", [1, 1], "the values must be unique"),
        ("base.seeds", [1, -1], "greater than or equal to 0"),
        ("train_cnn.epochs", 10**12, "less than or equal to"),
        ("finetune_irv2.unfreeze", -1, "greater than or equal to 0"),
        ("finetune_irv2.unfreeze", 1.5, "valid integer"),
        ("finetune_irv2.unfrozen.warmup", 1.0, "less than 1"),
        ("finetune_irv2.unfrozen.mixup", -0.1, "greater than or equal to 0"),
        ("finetune_irv2.unfrozen.batch_norm", "learn", "'frozen' or 'train'"),
        ("finetune_irv2.unfrozen.keep", "first", "'last' or 'best'"),
        ("finetune_irv2.unfrozen.augment.shift", 1.0, "less than 1"),
        ("finetune_irv2.test_crops", "corners", "'none' or 'middle'"),
        ("finetune_irv2.views.crop", 1.0, "less than 1"),
        ("base.engine", "spark", "'local' or 'ray'"),
        ("fetch.source", "", "at least 1 character"),
        ("fetch.sha256", "abc", "match pattern"),
        ("validate_images.on_reject", "ignore", "'fail' or 'drop'"),
        ("finetune_irv2.image_size", 8, "greater than or equal to 16"),
        ("evaluate.external", "photos", "valid list"),
        ("evaluate.external", [""], "at least 1 character"),
        ("evaluate.external", ["a", "a"], "the values must be unique"),
        ("evaluate.learning_curve.percents", [25, 10], "must increase"),
        ("evaluate.learning_curve.percents", [0, 10], "greater than 0"),
        ("evaluate.learning_curve.percents", [10, 101], "less than or equal to 100"),
        ("evaluate.learning_curve.repeats", 0, "greater than or equal to 1"),
        ("evaluate.exports", ["tflite"], "'onnx', 'litert' or 'saved_model'"),
        ("evaluate.exports", ["onnx", "onnx"], "the values must be unique"),
        ("plots.color", "blue", "match pattern"),
        ("plots", "x", "valid dictionary"),
    ],
)
def test_an_invalid_value_is_rejected_with_its_key_and_the_rule(key, value, message):
    with pytest.raises(UserError) as raised:
        params_file.check(_params_with({key: value}))
    text = str(raised.value)
    match = re.match(r"params\.yaml: (\S+) must be valid: ", text)
    assert match is not None
    assert key.startswith(match[1].rstrip(".0123456789"))
    assert "more after" not in text
    assert message in text
    assert "Received" in text


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lr_sweep.prune": True}, "lr_sweep.prune compares rates in parallel"),
        ({"shortcuts.backbone": "irv2", "shortcuts.image_size": 64}, "shortcuts.image_size must be at least 75"),
        ({"shortcuts.image_size": 64}, "shortcuts.image_size must be at least 75"),
        ({"finetune_irv2.image_size": 64}, "finetune_irv2.image_size must be at least 75, which InceptionResNetV2"),
        ({"finetune_edge.backbone": "VGG99"}, "must name a constructor of keras.applications"),
        (
            {"finetune_edge.backbone": "EfficientNetLite0", "finetune_edge.image_size": 31},
            "image_size must be at least 32",
        ),
        ({"finetune_edge.backbone": "my.keras", "finetune_edge.weights": "imagenet"}, "edge.weights must be auto"),
    ],
)
def test_incompatible_parameters_are_rejected_in_every_stage(changes, message, tmp_path):
    values = _params_with(changes)
    with pytest.raises(UserError) as raised:
        params_file.check(values)
    assert message in str(raised.value)
    (tmp_path / "p.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    with pytest.raises(UserError):
        params_file.load("fetch", tmp_path / "p.yaml", ROOT / "dvc.yaml")


@pytest.mark.parametrize(
    "changes",
    [
        {"lr_sweep.prune": True, "base.engine": "ray"},
        {"shortcuts.backbone": "densenet", "shortcuts.image_size": 32},
        {"finetune_edge.backbone": "my.keras", "finetune_edge.image_size": 16},
    ],
)
def test_compatible_parameters_are_accepted(changes):
    params_file.check(_params_with(changes))


@pytest.mark.parametrize(
    ("changes", "package", "message"),
    [
        ({"base.engine": "ray"}, "ray", "base.engine=ray needs Ray"),
        ({"evaluate.exports": ["saved_model", "onnx"]}, "tf2onnx", "exports=onnx needs packages .*: tf2onnx"),
        ({"evaluate.external": ["nowhere/photos"]}, None, r"external must name .*\n.*nowhere/photos"),
    ],
)
def test_missing_packages_and_folders_are_reported_before_a_stage_runs(
    changes, package, message, tmp_path, monkeypatch
):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(combinations, "find_spec", lambda name: None if name == package else find_spec(name))
    (tmp_path / "p.yaml").write_text(yaml.safe_dump(_params_with(changes)), encoding="utf-8")
    with pytest.raises(UserError, match=message):
        params_file.load("fetch", tmp_path / "p.yaml", ROOT / "dvc.yaml")


def test_an_external_set_may_be_a_url_or_a_folder(tmp_path):
    values = _params_with({"evaluate.external": ["https://a.example/photos.zip", str(tmp_path)]})
    (tmp_path / "p.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    params_file.load("fetch", tmp_path / "p.yaml", ROOT / "dvc.yaml")


def test_the_packages_of_exports_match_those_of_the_exporters():
    from realwaste.models import export

    assert {kind: exporter.packages for kind, exporter in export._EXPORTERS.items()} == combinations._EXPORT_PACKAGES


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train_cnn.epoch": 3, "train_cnn.epochs": DELETED}, r"epoch is not a parameter.*\nDid you mean epochs\?"),
        (
            {"shortcuts.asked": 0.03, "shortcuts.val_fraction": DELETED},
            r"^params.yaml: shortcuts\.asked is now called shortcuts\.val_fraction\.\nRename it",
        ),
        ({"xyz": 1}, r"xyz is not a parameter.*\nThere are: base, "),
        ({"split.val": DELETED}, r"split\.val is missing"),
    ],
)
def test_unknown_renamed_and_missing_keys_are_reported(changes, message):
    with pytest.raises(UserError, match=message):
        params_file.check(_params_with(changes))


@pytest.mark.parametrize(
    ("key", "default"), [("finetune_edge.backbone", "EfficientNetLite0"), ("shortcuts.backbone", "auto")]
)
def test_null_as_a_backbone_is_rejected_with_the_default_value(key, default):
    with pytest.raises(UserError) as raised:
        params_file.check(_params_with({key: None}))
    rule, remedy = str(raised.value).splitlines()
    assert rule == f'params.yaml: {key} must name a backbone: null, which was "off", is no longer possible.'
    assert remedy == f"Set the default: -S {key}={default}"


@pytest.mark.parametrize(("text", "number"), [("1e-4", 1e-4), ("1.0e-4", 1e-4), ("1E6", 1e6), ("1.e-3", 1e-3)])
def test_scientific_notation_is_read_as_dvc_reads_it(tmp_path, text, number):
    (tmp_path / "p.yaml").write_text(f"a: {text}\nb: 1-2e\nc: abc", encoding="utf-8")
    assert params_file.read_yaml(tmp_path / "p.yaml") == {"a": number, "b": "1-2e", "c": "abc"}


@pytest.mark.parametrize("text", ["010", "yes", "off", "1_000", "12:30"])
def test_what_is_a_number_or_boolean_in_yaml_1_1_alone_is_text(tmp_path, text):
    """PyYAML read `010` as 8, and DVC as 10: the run and dvc.lock would differ."""
    (tmp_path / "p.yaml").write_text(f"a: {text}\nb: [true, 10, null, 1.5]", encoding="utf-8")
    assert params_file.read_yaml(tmp_path / "p.yaml") == {"a": text, "b": [True, 10, None, 1.5]}


def test_a_stage_can_read_only_the_parameters_that_it_declares():
    params = params_file.load("embed_irv2", ROOT / "params.yaml", ROOT / "dvc.yaml")
    assert params.finetune_irv2.image_size == VALID_PARAMS["finetune_irv2"]["image_size"]
    for path in ("train_cnn", "finetune_irv2.epochs", "base.seed"):
        with pytest.raises(AttributeError):
            operator.attrgetter(path)(params)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [1", "must be valid YAML"),
        ("? [a]\n: 1\n", "must be valid YAML"),
        *[(text, NO_SECTIONS) for text in ("", "# nothing but this\n", "- a\n")],
        ("a:\n  b: 1\n  c: 2\n  b: 3\n", r"duplicate key b.*line 4"),
        (None, "must be readable"),
    ],
)
def test_an_invalid_params_file_is_rejected(tmp_path, text, message):
    if text is not None:
        (tmp_path / "p.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=message):
        params_file.check(params_file.read_yaml(tmp_path / "p.yaml"))


def _params_with(changes: dict[str, Any]) -> dict[str, Any]:
    values = copy.deepcopy(VALID_PARAMS)
    for key, value in changes.items():
        *parents, name = key.split(".")
        section = functools.reduce(operator.getitem, parents, values)
        section[name] = value
        if value is DELETED:
            del section[name]
    return values
