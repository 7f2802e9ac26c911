"""Weight files by every way they may come, against a server on the loopback; the files are not real weights."""

import dataclasses
import hashlib
import json

import pytest
from servers import PlayServer, status

from realwaste import weights
from realwaste.applications import application
from realwaste.errors import UnreachableError, UserError

PAYLOAD = b"not real weights, but bytes all the same"


@pytest.fixture
def imagenet(monkeypatch):
    """A server that stands in for Keras' storage: the table's addresses and hashes are led to it."""
    with PlayServer() as server:
        server.serve("w.h5", PAYLOAD)
        row = dataclasses.replace(
            application("DenseNet121"),
            url=server.url("w.h5"),
            checksum=f"md5:{hashlib.md5(PAYLOAD, usedforsecurity=False).hexdigest()}",
        )
        monkeypatch.setattr(weights, "application", lambda name: row)
        yield server


@pytest.mark.parametrize("choice", ["imagenet", "auto"])
def test_imagenet_weights_are_fetched_checked_and_recorded(choice, imagenet, tmp_path):
    record = weights.fetch("DenseNet121", choice, tmp_path / "w", seed=3)
    assert (record.weights, record.seed) == ("imagenet", None)
    assert record.sha256 == hashlib.sha256(PAYLOAD).hexdigest()
    assert weights.read(tmp_path / "w") == record
    assert record.weights_file(tmp_path / "w") == tmp_path / "w" / str(record.file)
    assert (tmp_path / "w" / str(record.file)).read_bytes() == PAYLOAD
    assert record.file == "densenet121_weights_tf_dim_ordering_tf_kernels_notop.h5"


@pytest.mark.parametrize("choice", ["imagenet", "auto"])
@pytest.mark.parametrize("fault", ["404", "other bytes"])
def test_a_wrong_answer_is_an_error_and_never_random(choice, fault, imagenet, tmp_path):
    imagenet.serve("w.h5", b"other bytes")
    if fault == "404":
        imagenet.always("w.h5", status(404))
    with pytest.raises(UserError) as refusal:
        weights.fetch("DenseNet121", choice, tmp_path / "w", seed=3)
    assert not isinstance(refusal.value, UnreachableError)
    assert not (tmp_path / "w").exists()


def test_without_a_network_auto_is_loudly_random_and_imagenet_an_error(tmp_path, monkeypatch, capfd):
    row = dataclasses.replace(application("DenseNet121"), url="http://127.0.0.1:9/w.h5")
    monkeypatch.setattr(weights, "application", lambda name: row)
    record = weights.fetch("DenseNet121", "auto", tmp_path / "w", seed=3, parameter="x.weights")
    assert (record.weights, record.seed, record.weights_file(tmp_path / "w")) == ("random", 3, None)
    said = capfd.readouterr().err
    assert "RANDOM WEIGHTS IN DenseNet121" in said
    assert "-S x.weights=imagenet" in said
    with pytest.raises(UnreachableError):
        weights.fetch("DenseNet121", "imagenet", tmp_path / "w", seed=3)


def test_random_weights_need_no_file(tmp_path):
    record = weights.fetch("InceptionResNetV2", "random", tmp_path / "w", seed=3)
    assert (record.weights, record.file, record.seed) == ("random", None, 3)
    assert record.constructor_or_file(tmp_path / "w") == "InceptionResNetV2"


def test_a_file_of_ones_own(tmp_path):
    (tmp_path / "mine.h5").write_bytes(PAYLOAD)
    record = weights.fetch("DenseNet121", str(tmp_path / "mine.h5"), tmp_path / "w", seed=3)
    assert (record.weights, record.file) == ("mine.h5", "mine.h5")
    assert record.weights_file(tmp_path / "w") == tmp_path / "w/mine.h5"


def test_an_extractor_brings_its_own_weights(tmp_path):
    (tmp_path / "lite.keras").write_bytes(PAYLOAD)
    record = weights.fetch(str(tmp_path / "lite.keras"), "auto", tmp_path / "w", seed=3)
    assert (record.backbone, record.weights, record.seed) == ("lite.keras", "lite.keras", None)
    assert record.constructor_or_file(tmp_path / "w") == str(tmp_path / "w/lite.keras")
    assert record.weights_file(tmp_path / "w") is None
    with pytest.raises(UserError, match="holds its own weights"):
        weights.fetch(str(tmp_path / "lite.keras"), "imagenet", tmp_path / "w", seed=3)


@pytest.mark.parametrize(
    ("backbone", "choice"), [("DenseNet121", "gone.h5"), ("gone.keras", "auto"), ("Densnet", "auto")]
)
def test_what_is_not_there_is_named_and_nothing_changes(backbone, choice, tmp_path):
    weights.fetch("DenseNet121", "random", tmp_path / "w", seed=3)
    before = json.loads((tmp_path / "w/weights.json").read_text())
    with pytest.raises(UserError, match=r"gone|Densnet"):
        weights.fetch(backbone, choice, tmp_path / "w", seed=3)
    assert json.loads((tmp_path / "w/weights.json").read_text()) == before
