"""ONNX Runtime with networks that PyTorch exports; runs in the other frameworks' environment."""

import tempfile
from pathlib import Path

import numpy as np
import onnxruntime
import torch

from benchmarks.parts.peers.loop import Variant, VariantBuilders
from benchmarks.parts.peers.on_torch import backbone


def inference(name: str, size: int, rows: int) -> VariantBuilders:
    """See on_torch.inference."""

    def build() -> Variant:
        pictures = np.random.default_rng(42).random((rows, 3, size, size), np.float32)
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "network.onnx"
            torch.onnx.export(backbone(name), (torch.from_numpy(pictures),), file, input_names=["pictures"])
            session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
        return lambda: session.run(None, {"pictures": pictures})

    return {"ONNX Runtime, float32": build}
