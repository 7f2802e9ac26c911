"""The table of a training step: how fast each kind of operation goes over memory, or computes."""

from collections.abc import Sequence
from typing import Any

from benchmarks.parts import pages

# Of the report's CNN at 256 px, a batch of 32, 9 classes.
_ROWS = 32
_MAPS = 256 * 256 * 32 + 128 * 128 * 64  # numbers that the two convolutions give
_FIRST, _SECOND = 256 * 256 * 32 * 27, 128 * 128 * 64 * 9 * 32  # their multiplications
_WEIGHTS = 64 * 64 * 64 * 128
_ITEM = {"mixed_bfloat16": 2, "float32": 4}
# How often each goes over both feature maps, at the least: batch normalisation needs mean and variance first.
_PASSES = {
    "batch normalisation with ReLU, forwards": 3,
    "batch normalisation, gradient": 5,
    "ReLU, gradient": 3,
}
_PRODUCTS = {
    "convolutions, forwards": _FIRST + _SECOND,
    "convolutions, gradient of the filters": _FIRST + _SECOND,
    "convolutions, gradient of the input": _SECOND,
}


def section(runs: Sequence[dict[str, Any]]) -> str:
    """One table a precision, and a sentence below it."""
    intro = (
        "## Where a training step of the CNN spends its time\n\nBy TensorFlow's profiler, operations that overlap "
        "counted each; bytes and multiplications by the shapes, the least that each can do with. Beside them, in the "
        "same process, a plain copy of arrays and a plain product of matrices."
    )
    return "\n\n".join([intro, *map(_table, runs)])


def _table(run: dict[str, Any]) -> str:
    kinds, whole = run["kinds"], sum(run["kinds"].values())
    rows = [[name, f"{ms:.0f}", f"{ms / whole:.0%}", *_rate(name, ms, run)] for name, ms in kinds.items()]
    convolved = sum(kinds[name] for name in _PRODUCTS)
    said = (
        f"**{run['precision']}**: {run['step_ms']:.0f} ms a step of {_ROWS}, {run['step_ms'] / _ROWS:.1f} an image; "
        f"a copy moves {run['copy_gb_per_second']:.1f} GB/s, a product of matrices {run['matmul_gflops']:.0f} GFLOP/s. "
        f"Convolutions are {convolved / whole:.0%} of the time; if nothing else took any, a step would be "
        f"{whole / convolved:.1f} times as fast. Pooling before ReLU gives the same bits and "
        f"is {run['swapped']:.2f} times as fast."
    )
    heads = ["operation", "ms a step", "share", "rate", "of what the machine can do"]
    return f"{said}\n\n{pages.table(heads, rows)}"


def _rate(name: str, ms: float, run: dict[str, Any]) -> tuple[str, str]:
    if name in _PRODUCTS:
        flops = 2 * _ROWS * _PRODUCTS[name] / ms / 1e6
        return f"{flops:.0f} GFLOP/s", f"{flops / run['matmul_gflops']:.0%}"
    passes = _PASSES.get(name)
    moved = 7 * 4 * _WEIGHTS if name == "Adam" else (passes or 0) * _ROWS * _MAPS * _ITEM[run["precision"]]
    if not moved:
        return "", ""
    speed = moved / ms / 1e6
    return f"{speed:.1f} GB/s", f"{speed / run['copy_gb_per_second']:.0%}"
