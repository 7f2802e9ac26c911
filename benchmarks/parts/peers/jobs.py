"""The jobs that peers and the pipeline do in turn: frozen backbones, and a training step of the CNN."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.parts import peer_tables
from benchmarks.parts.peers import environment
from benchmarks.parts.peers.turns import Side, in_turn
from realwaste.core import log
from realwaste.core.errors import UserError

ROUNDS = 7
_INFERENCE = {"PyTorch": "on_torch.inference", "ONNX Runtime": "on_onnxruntime.inference"}
_TRAINING = {"PyTorch": "on_torch.training"}


@dataclass(frozen=True)
class _Job:
    name: str
    unit: str
    images: int
    ours: str
    peers: Mapping[str, str]
    arguments: Mapping[str, Any]


_JOBS = [
    *(
        _Job(f"{name}, 524 px", "images/s", 8, "ours.inference", _INFERENCE, {"name": name, "size": 524, "rows": 8})
        for name in ("DenseNet121", "InceptionResNetV2")
    ),
    _Job(
        "A training step of the CNN, 256 px",
        "ms an image",
        32,
        "ours.training",
        _TRAINING,
        {"size": 256, "rows": 32, "classes": 9},
    ),
]


def measured(rounds: int = ROUNDS) -> dict[str, Any]:
    """The pinned versions of the peers, and for each job the seconds of each way to do it, or why it was not run."""
    try:
        python: Path | None = environment.python()
        missing = ""
    except UserError as error:
        python, missing = None, f"not installed: {error.received}"
        log.logger.warning("the peers are %s; ours alone are measured", missing)
    jobs: list[dict[str, Any]] = []
    for job in _JOBS:
        log.logger.info("peers: %s", job.name)
        sides = [Side("here", Path(sys.executable), job.ours)]
        sides += [Side(name, python, peer) for name, peer in job.peers.items()] if python else []
        ways = in_turn(sides, job.arguments, rounds)
        if any("seconds" not in ways.get(name, {}) for name in peer_tables.OURS):
            raise RuntimeError(f"{job.name} failed here: {ways}")
        if not python:
            ways |= {name: {"not_run": missing} for name in job.peers}
        jobs.append({"name": job.name, "unit": job.unit, "images": job.images, "ways": ways})
    return {"requirements": environment.REQUIREMENTS.read_text(encoding="utf-8").splitlines(), "jobs": jobs}
