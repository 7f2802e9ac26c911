"""Where a training step of the CNN spends its time, and how far that is from what the processor and memory can do."""

import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers
from tensorflow.tsl.profiler.protobuf.xplane_pb2 import XSpace

from benchmarks.parts.peers import ours
from realwaste.core import machine
from realwaste.models import cnn
from realwaste.runtime import device, fused_layers
from realwaste.training import training_loop
from realwaste.training.schedule import Schedule

ROWS, SIZE, CLASSES, STEPS, ROUNDS = 32, 256, 9, 5, 9
# What TensorFlow calls an operation, up to its last word, and what it is to a reader.
KINDS = {
    "Conv2D": "convolutions, forwards",
    "Conv2DBackpropFilter": "convolutions, gradient of the filters",
    "Conv2DBackpropInput": "convolutions, gradient of the input",
    "FusedBatchNormEx": "batch normalisation with ReLU, forwards",
    "FusedBatchNormV3": "batch normalisation, forwards",
    "FusedBatchNormGradV3": "batch normalisation, gradient",
    "Relu": "ReLU, forwards",
    "ReluGrad": "ReLU, gradient",
    "MaxPool": "pooling, forwards",
    "MaxPoolGrad": "pooling, gradient",
    "MatMul": "dense layers, gradients",
    "FusedMatMul": "dense layers, forwards",
    "ResourceApplyAdam": "Adam",
    "Cast": "changes of precision",
    "Mul": "rescaling",
}


def profile(policy: str) -> dict[str, Any]:
    """Milliseconds a step of each kind of operation by TensorFlow's profiler, and of the step without it.

    Beside them what a plain copy moves and a plain product of matrices computes in the same process, and a step with
    pooling before ReLU, in turn with the step as it is: the answers are the same to the bit.
    """
    policy = device.resolve_precision(policy)
    step = ours.training(SIZE, ROWS, CLASSES)[{value: key for key, value in ours.POLICIES.items()}[policy]]()
    swapped, pictures = _swapped(policy), np.zeros((ROWS, SIZE, SIZE, 3), np.uint8)
    labels = np.arange(ROWS) % CLASSES
    seconds = _in_turn({"step": step, "swapped": lambda: swapped.train_on_batch(pictures, labels)})
    return {
        "precision": policy,
        "kinds": _kinds(step),
        "step_ms": 1000 * statistics.median(seconds["step"]),
        "swapped": statistics.median(a / b for a, b in zip(*seconds.values(), strict=True)),
        "copy_gb_per_second": _copied(),
        "matmul_gflops": _multiplied(policy),
    }


def _in_turn(ways: dict[str, Callable[[], object]]) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(ROUNDS + 2):
        for name, way in ways.items():
            started = time.perf_counter()
            way()
            if turn >= 2:  # the first two compile
                found[name].append(time.perf_counter() - started)
    return found


def _swapped(policy: str) -> keras.Model:
    kept = list(cnn.build(SIZE, CLASSES, batch_norm_momentum=0.9).layers)
    for place, layer in enumerate(kept):
        if isinstance(layer, layers.MaxPooling2D):
            kept[place - 1 : place + 1] = layer, kept[place - 1]
    network = keras.Sequential([keras.Input((SIZE, SIZE, 3), dtype="uint8"), *kept])
    twin = fused_layers.fuse(network, policy, for_training=True)
    training_loop.compile_for_training(twin, Schedule(1, ROWS, 0.001, True, 42, dtype_policy=policy), 1)
    return twin


def _kinds(step: Callable[[], object]) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        tf.profiler.experimental.start(folder)
        for _ in range(STEPS):
            step()
        tf.profiler.experimental.stop()
        (file,) = Path(folder).rglob("*.xplane.pb")
        space = XSpace.FromString(file.read_bytes())
    found: Counter[str] = Counter()
    for plane in space.planes:
        for event in (event for line in plane.lines for event in line.events):
            kind = plane.event_metadata[event.metadata_id].name.rpartition(":")[2]
            title = KINDS.get(kind.removeprefix("_Mkl").removeprefix("Native"))
            if title:
                found[title] += event.duration_ps / 1e9 / STEPS
    return dict(found.most_common())


def _copied() -> float:
    """GB/s read and written together, by a thread a core, each with arrays that no cache holds."""
    cores = machine.cores()
    pairs = [(np.ones(1 << 25, np.float32), np.ones(1 << 25, np.float32)) for _ in range(cores)]
    with ThreadPoolExecutor(cores) as pool:
        seconds = _in_turn({"copy": lambda: list(pool.map(lambda pair: np.copyto(*pair), pairs))})["copy"]
    return 2 * cores * pairs[0][0].nbytes / statistics.median(seconds) / 1e9


def _multiplied(policy: str) -> float:
    """Thousand million operations a second (a multiplication and an addition are two) of 2048-square matrices."""
    side = 2048
    one = tf.ones((side, side), tf.bfloat16 if policy == "mixed_bfloat16" else tf.float32)
    seconds = _in_turn({"product": lambda: tf.linalg.matmul(one, one).numpy()})["product"]
    return 2 * side**3 / statistics.median(seconds) / 1e9
