"""SIGKILL at random moments, of a stage and of DVC over its stage: the next run ends as an undisturbed one."""

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import keras
import pytest
from tiny_pipeline import BIN, CURVE, ORDER, run

from benchmarks.parts.workspace import set_params

TIMES = {"seconds", "latency_ms", "training_seconds"}
KILLS = {
    "fetch": 2,
    "validate_images": 2,
    "split": 2,
    "train_cnn": 5,
    "lr_sweep": 4,
    "embed_irv2": 3,
    "finetune_irv2": 2,
    "cross_validate_edge": 2,
    "evaluate": 2,
    "suspects": 2,
    "probe_background": 2,
    "shortcuts": 2,
    "explain": 2,
    "compare": 2,
}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def pipeline(clone: Path) -> Path:
    """After one undisturbed run, with trainings long enough to be hit in the middle."""
    curve = {"evaluate__learning_curve": CURVE | {"cnn": True}}
    set_params(clone, train_cnn__epochs=40, lr_sweep__epochs=15, finetune_irv2__embed_batch_size=1, **curve)
    run(clone, "dvc", "repro")
    return clone


def _results(root: Path, stage: str) -> dict[str, object]:
    """What a stage leaves, without the times that were measured."""
    entries = [entry for key in ("outs", "metrics") for entry in ORDER[stage].get(key, [])]
    contents = {}
    for place in (next(iter(entry)) if isinstance(entry, dict) else entry for entry in entries):
        path = root / place
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file():
                contents[str(file.relative_to(root))] = _content(file)
    return contents


def _content(file: Path) -> object:
    if file.suffix == ".json":
        return _untimed(json.loads(file.read_text(encoding="utf-8")))
    if file.suffix == ".keras":
        return [weight.tobytes() for weight in keras.saving.load_model(file, compile=False).get_weights()]
    # What people read shows times.
    return file.exists() if file.name == "table1.png" or file.suffix in {".html", ".md"} else file.read_bytes()


def _untimed(values: object) -> object:
    if isinstance(values, dict):
        return {key: _untimed(value) for key, value in values.items() if key not in TIMES}
    return values


def _started(root: Path, *command: str) -> subprocess.Popen[bytes]:
    environment = os.environ | {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
    with (root / "killed.log").open("ab") as log:
        return subprocess.Popen([*command], cwd=root, stdout=log, stderr=log, env=environment)


@pytest.mark.parametrize("stage", KILLS)
def test_a_killed_stage_ends_as_an_undisturbed_one(pipeline, stage):
    command = [sys.executable, *ORDER[stage]["cmd"].split()[1:]]
    began = time.monotonic()
    first = run(pipeline, *command)
    lasted = time.monotonic() - began
    assert "resumes from where" not in first
    undisturbed = _results(pipeline, stage)
    chance = random.Random(stage)
    for _ in range(KILLS[stage]):
        process = _started(pipeline, *command)
        time.sleep(chance.uniform(0.3, 0.95) * lasted)
        process.kill()
        process.wait()
        run(pipeline, *command)
        assert _results(pipeline, stage) == undisturbed
        assert [path for path in pipeline.rglob(".tmp-*") if ".git" not in path.parts] == []
        assert list((pipeline / "data/.state").glob(f"{stage}/*")) == []


@pytest.mark.parametrize("stage", ["train_cnn", "lr_sweep", "embed_irv2"])
def test_what_was_done_before_the_kill_is_not_done_again(pipeline, stage):
    command = [sys.executable, *ORDER[stage]["cmd"].split()[1:]]
    undisturbed = _results(pipeline, stage)
    process = _started(pipeline, *command)
    state = pipeline / "data/.state" / stage
    while not [path for path in state.glob("*/*") if not path.name.startswith(".tmp")]:
        assert process.poll() is None, "ended before anything was kept"
        time.sleep(0.02)
    process.kill()
    process.wait()
    assert f"{stage} resumes from where" in run(pipeline, *command)
    assert _results(pipeline, stage) == undisturbed


def test_dvc_killed_over_its_stage(pipeline):
    """The orphan ends, the locks of the dead are taken over, and no manual step is needed."""
    undisturbed = {stage: _results(pipeline, stage) for stage in ORDER}
    began = time.monotonic()
    run(pipeline, "dvc", "repro", "--force")
    lasted = time.monotonic() - began
    chance = random.Random(0)
    for _ in range(4):
        dvc = _started(pipeline, str(BIN / "dvc"), "repro", "--force")
        time.sleep(chance.uniform(0.05, 0.9) * lasted)
        dvc.kill()
        dvc.wait()
        run(pipeline, "dvc", "repro")
        assert json.loads(run(pipeline, "dvc", "status", "--json")) == {}
        assert {stage: _results(pipeline, stage) for stage in ORDER} == undisturbed
