"""Untrusted model files: the record is validated before the model is loaded, and errors have two lines."""

import io
import json
import os
import subprocess
import sys
import zipfile
from dataclasses import asdict, replace

import colours
import lively
import numpy as np
import pytest

from realwaste.core.errors import UserError
from realwaste.models import model_file, registry
from realwaste.models.model_file import ModelMetadata
from realwaste.models.novelty import Novelty

RECORD = asdict(ModelMetadata("cnn", ("a", "b"), 32, "drawn", "CNN", "random"))
BAD_VALUES: dict[str, list[object]] = {
    "batch_size": [0, -4, "16", True, 10**30],
    "image_size": [-32, 10**9, 32.5],
    "classes": [["a"], [], [1, 2], ["a", "a"], ["a", ""], "ab", {"a": 0, "b": 1}],
    "name": [None],
    "dataset": ["x" * 100_000],
    "temperature": [0, -1.0, float("nan"), "hot"],
    "precision": ["float8"],
    "origin": [["given"]],
    "surprise": [1],
}


def _write_model_file(path, record, *, compression=zipfile.ZIP_STORED, **members):
    text = record if isinstance(record, str) else json.dumps(record)
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("realwaste.json", text)
        for name, data in members.items():
            archive.writestr(name.replace("_", "."), data)
    return path


def _run_failing_command(*arguments):
    """Run a command that must fail, and return its error message."""
    result = colours.run(*arguments, status=1)
    assert isinstance(result.exception, SystemExit)
    assert "Traceback" not in result.stderr
    return colours.words(result.stderr)


@pytest.mark.parametrize(
    ("key", "value"),
    [(key, value) for key, values in BAD_VALUES.items() for value in values],
    ids=lambda value: str(value)[:20],
)
def test_a_record_is_validated_by_its_schema(key, value, tmp_path):
    path = _write_model_file(tmp_path / "m.keras", RECORD | {key: value})
    with pytest.raises(UserError) as raised:
        model_file.read_metadata(path)
    assert len(str(raised.value).splitlines()) == 2
    assert ("realwaste.json" if str(value) == "nan" else key) in str(raised.value)  # NaN is not valid JSON


def test_a_record_with_a_missing_key_or_of_another_type_is_rejected(tmp_path):
    incomplete = {key: value for key, value in RECORD.items() if key != "classes"}
    records: list[object] = [incomplete, [], None, 3, "{", "[" * 100_000, '{"a":' * 100_000, "\x00", ""]
    for record in records:
        with pytest.raises(UserError):
            model_file.read_metadata(_write_model_file(tmp_path / "m.keras", record))


def test_a_batch_larger_than_any_memory_is_rejected(tmp_path):
    path = _write_model_file(tmp_path / "m.keras", RECORD | {"batch_size": 100_000, "image_size": 4096})
    with pytest.raises(UserError, match="batch of 100000"):
        model_file.read_metadata(path)


def test_records_of_earlier_versions_are_read(tmp_path):
    oldest = {key: RECORD[key] for key in ("name", "classes", "image_size", "dataset", "backbone", "weights")}
    metadata = model_file.read_metadata(_write_model_file(tmp_path / "m.keras", oldest))
    assert metadata == ModelMetadata("cnn", ("a", "b"), 32, "drawn", "CNN", "random")
    metadata = model_file.read_metadata(
        _write_model_file(tmp_path / "m.keras", oldest | {"temperature": 2, "classes": ["ü", "\x1b[0m"]})
    )
    assert metadata.classes == ("ü", "\x1b[0m")


@pytest.mark.parametrize("command", ["info", "predict", "choose", "serve", "evaluate", "export"])
def test_every_command_rejects_an_invalid_record_in_two_lines(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = _write_model_file(tmp_path / "m.keras", RECORD | {"batch_size": 0})
    colours.photo(tmp_path / "photos/a/red.png", colours.RED)
    colours.photo(tmp_path / "photos/b/blue.png", colours.BLUE)
    arguments_by_command = {
        "serve": ["--port", 0, "--model", path],
        "export": ["--format", "saved_model", "--model", path],
    }
    arguments = arguments_by_command.get(command, ["photos", "--model", path] if command != "info" else [path])
    message = _run_failing_command(command, *arguments)
    assert "must be a model that this pipeline saved" in message
    assert "batch_size: Input should be greater than or equal to 1" in message
    assert "Train it again" in message


def test_a_zip_bomb_is_rejected(tmp_path):
    blanks = " " * (64 << 20)
    path = _write_model_file(tmp_path / "m.keras", json.dumps(RECORD) + blanks, compression=zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 100_000
    with pytest.raises(UserError, match="unpacks to"):
        model_file.read_metadata(path)
    with pytest.raises(UserError, match="unpacks to"):
        model_file.read_metadata(
            _write_model_file(tmp_path / "n.keras", RECORD, compression=zipfile.ZIP_DEFLATED, config_json=blanks)
        )
    with pytest.raises(UserError, match=r"realwaste.json has 2,"):
        model_file.read_metadata(_write_model_file(tmp_path / "o.keras", json.dumps(RECORD) + " " * 2_000_000))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes are not supported here")
def test_a_named_pipe_and_a_device_are_rejected(tmp_path):
    os.mkfifo(tmp_path / "pipe.keras")
    (tmp_path / "zero.keras").symlink_to("/dev/zero")
    for name in ("pipe", "zero"):
        command = [sys.executable, "-m", "realwaste", "info", f"{name}.keras"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 1
        assert f"must be a regular file, and {name}.keras is" in " ".join(done.stderr.split())


def _pack_npz(**arrays):
    data = io.BytesIO()
    np.savez(data, **arrays)
    return data.getvalue()


UNIT, DIGESTS, PHASHES = np.eye(3, dtype=np.float16), np.zeros((2, 6), np.uint8), np.zeros(2, np.uint64)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("novelty_npz", b"no archive"),
        ("novelty_npz", b""),
        ("novelty_npz", _pack_npz(learned=UNIT)),
        ("novelty_npz", _pack_npz(learned=UNIT, threshold=np.nan)),
        ("novelty_npz", _pack_npz(learned=UNIT, threshold=np.zeros(3))),
        ("novelty_npz", _pack_npz(learned=UNIT, threshold="high")),
        ("novelty_npz", _pack_npz(learned=UNIT[0], threshold=0.5)),
        ("novelty_npz", _pack_npz(learned=UNIT[:0], threshold=0.5)),
        ("novelty_npz", _pack_npz(learned=UNIT + np.float16(np.inf), threshold=0.5)),
        ("novelty_npz", _pack_npz(learned=UNIT.astype(np.complex64), threshold=0.5)),
        ("novelty_npz", _pack_npz(learned=np.ones((5000, 3), np.float16), threshold=0.5)),
        ("photographs_npz", b"no archive"),
        ("photographs_npz", _pack_npz(sha256=DIGESTS)),
        ("photographs_npz", _pack_npz(sha256=DIGESTS[:1], phash=PHASHES)),
        ("photographs_npz", _pack_npz(sha256=DIGESTS.astype(np.int64), phash=PHASHES)),
        ("photographs_npz", _pack_npz(sha256=DIGESTS, phash=np.float64(1))),
    ],
    ids=lambda _: "",
)
def test_a_damaged_member_raises_a_two_line_error(name, data, tmp_path):
    path = _write_model_file(tmp_path / "m.keras", RECORD, **{name: data})
    read = model_file.read_novelty if name == "novelty_npz" else model_file.read_photographs
    with pytest.raises(UserError, match=name.replace("_", r"\.")) as raised:
        read(path)
    assert len(str(raised.value).splitlines()) == 2
    if name == "novelty_npz":
        assert "novelty.npz" in _run_failing_command("info", path)


def test_a_zip_bomb_in_the_novelty_member_is_rejected(tmp_path):
    data = io.BytesIO()
    np.savez_compressed(data, learned=np.zeros((4096, 40_000), np.float16), threshold=0.5)
    path = _write_model_file(tmp_path / "m.keras", RECORD, novelty_npz=data.getvalue())
    assert "unpacks to" in _run_failing_command("info", path)


@pytest.mark.parametrize(
    "change",
    [{"classes": ("a", "b")}, {"classes": ("a", "b", "c", "d")}, {"image_size": 16}, {"features": 5}],
    ids=["few classes", "many classes", "size", "novelty"],
)
def test_a_record_of_another_network_is_rejected_on_load(change, tmp_path):
    path, width = tmp_path / "m.keras", change.pop("features", 64)
    valid = replace(lively.cnn_classifier(), novelty=Novelty(np.ones((3, 64), np.float16), 0.5))
    model_file.save(path, valid)
    assert model_file.load(path).metadata == valid.metadata
    stored_novelty = Novelty(np.ones((3, width), np.float16), 0.5)
    model_file.save(path, replace(valid, metadata=replace(valid.metadata, **change), novelty=stored_novelty))
    with pytest.raises(UserError, match="must be a whole Keras model") as raised:
        model_file.load(path)
    assert len(str(raised.value).splitlines()) == 2


def test_malformed_model_cards_and_metrics_raise_no_error(tmp_path, monkeypatch):
    colours.save(tmp_path / "models/cnn.keras")
    row = {"backbone": "Eye", "weights": "sharp", "val_accuracy": float("nan"), "test_accuracy": 10**400}
    (tmp_path / "metrics").mkdir()
    (tmp_path / "metrics/compare.json").write_text(json.dumps({"dataset": "colours", "cnn": row}))
    monkeypatch.chdir(tmp_path)
    for arguments in (["models"], ["models", "--json"], ["info", "cnn"], ["info", "cnn", "--json"]):
        colours.run(*arguments)
    for block in ("tags: 3", "model-index: {results: 1}", "[" * 100_000, "a: &a [*a]", "- 1"):
        (registry.FOLDER / "cnn.md").write_text(f"---\n{block}\n---\ntext of the card\n")
        colours.run("info", "cnn")
