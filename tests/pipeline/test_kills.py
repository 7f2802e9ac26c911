"""SIGKILL of a stage or of DVC at random moments: the next run gives the same results as an undisturbed run."""

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

TIME_KEYS = {"seconds", "latency_ms", "training_seconds"}
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
    """A clone after one undisturbed run. Its trainings are long enough to be killed midway."""
    curve = {"evaluate__learning_curve": CURVE | {"cnn": True}}
    set_params(clone, train_cnn__epochs=40, lr_sweep__epochs=15, finetune_irv2__embed_batch_size=1, **curve)
    run(clone, "dvc", "repro")
    return clone


def _read_results(root: Path, stage: str) -> dict[str, object]:
    """The contents of the outputs and metrics of a stage, without measured times."""
    entries = [entry for key in ("outs", "metrics") for entry in ORDER[stage].get(key, [])]
    contents = {}
    for output in (next(iter(entry)) if isinstance(entry, dict) else entry for entry in entries):
        path = root / output
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file():
                contents[str(file.relative_to(root))] = _read_content(file)
    return contents


def _read_content(file: Path) -> object:
    if file.suffix == ".json":
        return _remove_times(json.loads(file.read_text(encoding="utf-8")))
    if file.suffix == ".keras":
        return [weight.tobytes() for weight in keras.saving.load_model(file, compile=False).get_weights()]
    # These files show measured times.
    return file.exists() if file.name == "table1.png" or file.suffix in {".html", ".md"} else file.read_bytes()


def _remove_times(values: object) -> object:
    if isinstance(values, dict):
        return {key: _remove_times(value) for key, value in values.items() if key not in TIME_KEYS}
    return values


def _start_process(root: Path, *command: str) -> subprocess.Popen[bytes]:
    environment = os.environ | {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
    with (root / "killed.log").open("ab") as log:
        return subprocess.Popen([*command], cwd=root, stdout=log, stderr=log, env=environment)


@pytest.mark.parametrize("stage", KILLS)
def test_a_killed_stage_ends_as_an_undisturbed_one(pipeline, stage):
    command = [sys.executable, *ORDER[stage]["cmd"].split()[1:]]
    start = time.monotonic()
    log_output = run(pipeline, *command)
    duration = time.monotonic() - start
    assert "resumes from where" not in log_output
    undisturbed = _read_results(pipeline, stage)
    rng = random.Random(stage)
    for _ in range(KILLS[stage]):
        process = _start_process(pipeline, *command)
        time.sleep(rng.uniform(0.3, 0.95) * duration)
        process.kill()
        process.wait()
        run(pipeline, *command)
        assert _read_results(pipeline, stage) == undisturbed
        assert [path for path in pipeline.rglob(".tmp-*") if ".git" not in path.parts] == []
        assert list((pipeline / "data/.state").glob(f"{stage}/*")) == []


@pytest.mark.parametrize("stage", ["train_cnn", "lr_sweep", "embed_irv2"])
def test_what_was_done_before_the_kill_is_not_done_again(pipeline, stage):
    command = [sys.executable, *ORDER[stage]["cmd"].split()[1:]]
    undisturbed = _read_results(pipeline, stage)
    process = _start_process(pipeline, *command)
    progress_folder = pipeline / "data/.state" / stage
    while not [path for path in progress_folder.glob("*/*") if not path.name.startswith(".tmp")]:
        assert process.poll() is None, "the stage ended before it saved a checkpoint"
        time.sleep(0.02)
    process.kill()
    process.wait()
    assert f"{stage} resumes from where" in run(pipeline, *command)
    assert _read_results(pipeline, stage) == undisturbed


def test_dvc_killed_over_its_stage(pipeline):
    """The orphaned stage ends, the next run takes over stale locks, and no manual step is needed."""
    undisturbed = {stage: _read_results(pipeline, stage) for stage in ORDER}
    start = time.monotonic()
    run(pipeline, "dvc", "repro", "--force")
    duration = time.monotonic() - start
    rng = random.Random(0)
    for _ in range(4):
        dvc = _start_process(pipeline, str(BIN / "dvc"), "repro", "--force")
        time.sleep(rng.uniform(0.05, 0.9) * duration)
        dvc.kill()
        dvc.wait()
        run(pipeline, "dvc", "repro")
        assert json.loads(run(pipeline, "dvc", "status", "--json")) == {}
        assert {stage: _read_results(pipeline, stage) for stage in ORDER} == undisturbed
