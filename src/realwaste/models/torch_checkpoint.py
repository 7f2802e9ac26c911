"""Tensors of a PyTorch checkpoint in the serialization that torch used before version 1.6, read without torch.

`torch.load` needs 200 MB of torch, and safetensors and NumPy do not read this format. Layout: four pickles (magic
number, protocol version, machine facts, state dict), a pickle with the list of storage keys, then per storage its
number of elements (int64) and its bytes.
"""

import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

_MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
_PROTOCOL_VERSION = 1001
# What unpickling a damaged or hostile file raises.
_ERRORS = (pickle.UnpicklingError, ArithmeticError, AttributeError, EOFError, LookupError, MemoryError, TypeError)
# Strings: a pickle can set the state of an object that it gets, and a changed np.dtype would misread memory.
_DTYPES = {"FloatStorage": "<f4", "LongStorage": "<i8"}


def load_state_dict(path: Path) -> dict[str, np.ndarray]:
    """The tensors of a state dict by name.

    Raises:
        ValueError: the file is of another format, is cut short, or asks for anything but ordered dicts and tensors.
    """
    with path.open("rb") as file:
        try:
            magic_number, protocol_version, machine = (_Unpickler(file, {}).load() for _ in range(3))
            if (magic_number, protocol_version) != (_MAGIC_NUMBER, _PROTOCOL_VERSION) or not machine["little_endian"]:
                raise ValueError("not a little-endian checkpoint of torch before version 1.6")
            storages: dict[str, np.ndarray] = {}
            state_dict = _Unpickler(file, storages).load()
            for key in _Unpickler(file, {}).load():
                _read_storage(file, storages[key])
        except _ERRORS as error:
            raise ValueError(f"not a checkpoint of tensors: {error}") from error
    return dict(state_dict)


class _Unpickler(pickle.Unpickler):
    """Refuses every global but the three that a state dict needs, so a file cannot run code."""

    def __init__(self, file: BinaryIO, storages: dict[str, np.ndarray]) -> None:
        super().__init__(file)
        self._storages = storages

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _rebuild_tensor
        if module == "torch" and name in _DTYPES:
            return _DTYPES[name]
        raise pickle.UnpicklingError(f"{module}.{name} is not part of a state dict")

    def persistent_load(self, pid: Any) -> np.ndarray:
        kind, dtype, key, _location, size, _view = pid
        if kind != "storage":
            raise pickle.UnpicklingError(f"{kind} is not a storage")
        return self._storages.setdefault(key, np.empty(size, dtype))


def _rebuild_tensor(storage: np.ndarray, offset: int, shape: tuple[int, ...], stride: tuple[int, ...], *_: Any) -> Any:
    """A view of the storage, which is filled later."""
    last = offset + sum((length - 1) * step for length, step in zip(shape, stride, strict=True))
    if min(offset, *shape, *stride, 0) < 0 or last >= storage.size:
        raise pickle.UnpicklingError(f"a tensor of shape {shape} is outside its storage of {storage.size} elements")
    strides = tuple(step * storage.itemsize for step in stride)
    return np.lib.stride_tricks.as_strided(storage[offset:], shape, strides)


def _read_storage(file: BinaryIO, storage: np.ndarray) -> None:
    size = np.frombuffer(file.read(8), "<i8")
    if size.tolist() != [storage.size]:
        raise ValueError(f"a storage must have {storage.size} elements, its header says {size.tolist()}")
    data = file.read(storage.nbytes)
    if len(data) != storage.nbytes:
        raise ValueError(f"the file ends after {len(data)} of the {storage.nbytes} bytes of a storage")
    storage[:] = np.frombuffer(data, storage.dtype)
