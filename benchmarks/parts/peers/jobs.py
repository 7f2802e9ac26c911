"""Jobs that PyTorch, ONNX Runtime and the pipeline run in turn: frozen backbones, and a training step of the CNN."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.parts import peer_tables
from benchmarks.parts.peers import environment
from benchmarks.parts.peers.turns import ProcessSpec, run_in_turn
from realwaste.core import log
from realwaste.core.errors import UserError

ROUNDS = 7
_INFERENCE = {"PyTorch": "on_torch.inference", "ONNX Runtime": "on_onnxruntime.inference"}
_TRAINING = {"PyTorch": "on_torch.training"}


@dataclass(frozen=True)
class _PeerJob:
    name: str
    unit: str
    images: int
    ours: str
    peers: Mapping[str, str]
    arguments: Mapping[str, Any]


_JOBS = [
    *(
        _PeerJob(f"{name}, 524 px", "images/s", 8, "ours.inference", _INFERENCE, {"name": name, "size": 524, "rows": 8})
        for name in ("DenseNet121", "InceptionResNetV2")
    ),
    _PeerJob(
        "A training step of the CNN, 256 px",
        "ms an image",
        32,
        "ours.training",
        _TRAINING,
        {"size": 256, "rows": 32, "classes": 9},
    ),
]


def measure_jobs(rounds: int = ROUNDS) -> dict[str, Any]:
    """The pinned versions of the frameworks, and for each job the seconds of each variant or why it did not run."""
    try:
        python: Path | None = environment.python()
        not_run_reason = ""
    except UserError as error:
        python, not_run_reason = None, f"not installed: {error.received}"
        log.logger.warning("the other frameworks are %s; only the pipeline is measured", not_run_reason)
    jobs: list[dict[str, Any]] = []
    for job in _JOBS:
        log.logger.info("peers: %s", job.name)
        processes = [ProcessSpec("here", Path(sys.executable), job.ours)]
        processes += [ProcessSpec(name, python, peer) for name, peer in job.peers.items()] if python else []
        variants = run_in_turn(processes, job.arguments, rounds)
        if any("seconds" not in variants.get(name, {}) for name in peer_tables.OURS):
            raise RuntimeError(f"{job.name} failed here: {variants}")
        if not python:
            variants |= {name: {"not_run": not_run_reason} for name in job.peers}
        jobs.append({"name": job.name, "unit": job.unit, "images": job.images, "ways": variants})
    return {"requirements": environment.REQUIREMENTS.read_text(encoding="utf-8").splitlines(), "jobs": jobs}
