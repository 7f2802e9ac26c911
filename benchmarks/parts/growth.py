"""The stages as processes: seconds and memory by number of images, start-up, and `dvc repro` without changes."""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml

from benchmarks.parts.child import ROOT
from benchmarks.parts.workspace import copy_checkout, set_params
from realwaste.core.files import write_csv, write_json
from realwaste.dataset import split
from realwaste.sources.realwaste_files import COUNTS

BIN = Path(sys.executable).parent
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
GROWING = ("validate_images", "split", "embed_irv2", "evaluate", "compare")
WITHOUT_TENSORFLOW = ("fetch", "validate_images", "split", "compare")


def run_stages(work: str, images: int) -> dict[str, Any]:
    """Seconds and peak memory of every stage on this many generated pictures of 64 px, start-up included."""
    root = _workspace(Path(work), images)
    return {"images": images, "stages": {name: run_stage(root, name) for name in STAGES}}


def repro_without_changes(work: str, repeats: int) -> dict[str, Any]:
    """Seconds of `dvc repro` with nothing to do."""
    root = _workspace(Path(work), 100)
    commit = ["git", "-c", "user.name=b", "-c", "user.email=b@b", "commit", "-qm", "b"]
    repro = [str(BIN / "dvc"), "repro"]
    for command in (["git", "init", "-q"], ["git", "add", "-A"], commit, repro):
        _run(command, root)
    seconds = [_run(repro, root)["seconds"] for _ in range(repeats)]
    return {"seconds": statistics.median(seconds)}


def start_up_seconds(repeats: int) -> dict[str, Any]:
    """Seconds until a stage without TensorFlow starts its work: launcher, parameters, imports."""
    code = (
        "import sys, importlib; sys.path[:0] = ['src', '.']; from stages import __main__, params; "
        "params.load({0!r}); importlib.import_module('stages.' + {0!r})"
    )
    seconds = {}
    for name in WITHOUT_TENSORFLOW:
        runs = [_run([sys.executable, "-c", code.format(name)], ROOT)["seconds"] for _ in range(repeats)]
        seconds[name] = statistics.median(runs)
    return {"stages": seconds}


def train_head(work: str) -> dict[str, Any]:
    """finetune_irv2 as a process, on as many random vectors (normal distribution) as RealWaste has images."""
    root = _workspace(Path(work), 0)
    import pandas as pd  # noqa: PLC0415 - the other functions do not need it

    rows = [(f"{label}/{n}.jpg", label) for label, count in COUNTS.items() for n in range(count)]
    splits = split.stratified(pd.DataFrame(rows, columns=["path", "label"]), train=0.6, val=0.2, test=0.2, seed=42)
    write_csv(root / "data/splits.csv", splits)
    write_json(root / "data/dataset.json", {"dataset": "drawn vectors", "origin": "given"})
    record = {"backbone": "InceptionResNetV2", "weights": "random", "file": None, "sha256": None, "seed": 42}
    write_json(root / "data/weights/irv2/weights.json", record)
    vectors = np.random.default_rng(0).normal(size=(len(splits), 1536)).astype(np.float32)
    folder = root / "data/embeddings/irv2"
    folder.mkdir(parents=True)
    # Written with NumPy alone: the peak memory of a child process is at least this process's memory.
    np.save(folder / "00000.vectors.npy", vectors)
    np.save(folder / "00000.paths.npy", splits["path"].to_numpy(np.str_))
    write_json(folder / "index.json", {"rows": len(vectors), "width": vectors.shape[1], "shards": 1})
    set_params(root, finetune_irv2__image_size=524, finetune_irv2__epochs=10)
    return {"vectors": len(splits)} | run_stage(root, "finetune_irv2")


def _workspace(work: Path, images: int) -> Path:
    """A copy of the checkout with small parameters and a folder of pictures to fetch."""
    root = work / f"pipeline-{images}-{time.monotonic_ns()}"
    copy_checkout(root)
    _draw(root / "pictures", images)
    tiny = {"backbone": "MobileNetV2", "weights": "random", "image_size": 64, "epochs": 2, "embed_batch_size": 32}
    set_params(
        root,
        fetch__source=str(root / "pictures"),
        train_cnn__image_size=64,
        train_cnn__epochs=1,
        lr_sweep__epochs=1,
        lr_sweep__learning_rates=[0.001],
        **{f"finetune_{name}__{key}": value for name in ("irv2", "densenet") for key, value in tiny.items()},
    )
    return root


def _draw(folder: Path, images: int) -> None:
    rng = np.random.default_rng(0)
    for number in range(images):
        class_folder = folder / f"class_{number % 9}"
        class_folder.mkdir(parents=True, exist_ok=True)
        noise = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        cv2.imwrite(str(class_folder / f"{number}.jpg"), cv2.resize(noise, (64, 64), interpolation=cv2.INTER_CUBIC))


def run_stage(root: Path, name: str) -> dict[str, Any]:
    """Seconds and peak memory (MB) of a stage as a process, in the checkout at `root`."""
    return _run([sys.executable, *STAGES[name]["cmd"].split()[1:]], root)


def _run(command: list[str], root: Path) -> dict[str, Any]:
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    environment["PATH"] = f"{BIN}{os.pathsep}{os.environ['PATH']}"
    environment["REALWASTE_CACHE"] = f"{tempfile.gettempdir()}/realwaste-benchmark"
    with tempfile.TemporaryFile() as log:
        started = time.perf_counter()
        process = subprocess.Popen(command, cwd=root, env=environment, stdout=log, stderr=log)  # noqa: S603
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            log.seek(0)
            raise RuntimeError(f"{command} failed:\n{log.read()[-3000:].decode(errors='replace')}")
    return {"seconds": round(seconds, 2), "peak_mb": round(usage.ru_maxrss / 1000)}
