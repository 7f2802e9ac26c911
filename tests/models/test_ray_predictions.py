"""Predictions on two Ray nodes of one core each: the files of one process, also if a worker, node or job is killed."""

import re
import shutil
import subprocess
import time
from functools import partial
from pathlib import Path

import cv2
import keras
import lively
import psutil
import pytest
from conftest import picture, write_tar
from ray_jobs import finished, start, wait_for

from realwaste.models import model_file

pytestmark = pytest.mark.slow
SHARDS, IMAGES_PER_SHARD = 12, 10
LIMIT_S = 600  # far longer than anything here takes


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Shards with one damaged image, a model, and the files that one process writes."""
    folder = tmp_path_factory.mktemp("predictions")
    (folder / "shards").mkdir()
    for shard in range(SHARDS):
        seeds = range(shard * IMAGES_PER_SHARD, (shard + 1) * IMAGES_PER_SHARD)
        members = {f"{seed}.jpg": cv2.imencode(".jpg", picture(seed))[1].tobytes() for seed in seeds}
        write_tar(folder / f"shards/{shard:02d}.tar", members | ({"damaged.jpg": b"x"} if shard == 5 else {}))
    keras.utils.set_random_seed(1)
    model_file.save(folder / "cnn.keras", lively.cnn_classifier(batch_size=4))
    assert _wait_for_end(_start_job("local", folder), folder)[0] == 0
    return folder


@pytest.fixture
def pause_folder(folder):
    """While this folder exists, a job that was started with a number of parts waits after these parts."""
    shutil.rmtree(folder / "ray", ignore_errors=True)
    (folder / "held").mkdir()
    yield folder / "held"
    shutil.rmtree(folder / "held", ignore_errors=True)


_start_job = partial(start, "prediction_job.py")


def _wait_for_end(job: subprocess.Popen[bytes], folder: Path) -> tuple[int, str]:
    status, output = finished(job, folder, LIMIT_S)
    return status, " ".join(output.split())


def _read_parts(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.glob("part-*")}


def _wait_for_parts(job: subprocess.Popen[bytes], folder: Path, parts: int) -> None:
    def are_written() -> bool:
        return len(_read_parts(folder / "ray")) >= parts and b"predicted by" in (folder / "job.log").read_bytes()

    wait_for(job, folder, are_written, LIMIT_S)


def _assert_same_parts(folder: Path, output: str) -> None:
    """Every part has the bytes that one process writes, and the last line counts every image once."""
    assert _read_parts(folder / "ray") == _read_parts(folder / "local")
    assert len(_read_parts(folder / "ray")) == SHARDS
    assert f"{SHARDS * IMAGES_PER_SHARD + 1} photos: " in output
    assert "1 without a prediction" in output
    assert [path.name for path in (folder / "ray").iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize(("killed", "parts"), [("node", 0), ("node", 2), ("node", 6), ("worker", 1), ("worker", 4)])
def test_a_killed_node_or_worker_loses_and_duplicates_no_row(folder, nodes, pause_folder, killed, parts):
    job = _start_job("ray", folder, nodes.address, str(parts))
    _wait_for_parts(job, folder, parts)
    if killed == "node":
        nodes.kill(-1)
    else:
        workers = [process for process in psutil.process_iter(["cmdline"]) if _is_worker(process)]
        workers[0].kill()
    assert len(_read_parts(folder / "ray")) < SHARDS
    shutil.rmtree(pause_folder)
    status, output = _wait_for_end(job, folder)
    if killed == "node":
        nodes.add()
    assert status == 0, output
    assert "on 2 nodes" in output
    _assert_same_parts(folder, output)


@pytest.mark.parametrize("parts", [0, 3, 7])
def test_a_killed_job_continues_with_the_missing_parts(folder, nodes, pause_folder, parts):
    job = _start_job("ray", folder, nodes.address, str(parts))
    _wait_for_parts(job, folder, parts)
    job.kill()
    job.wait()
    shutil.rmtree(pause_folder)
    time.sleep(2)  # its actors may still write parts
    parts_before = {file.name: file.stat().st_mtime_ns for file in (folder / "ray").glob("part-*")}
    assert len(parts_before) >= parts
    status, output = _wait_for_end(_start_job("ray", folder, nodes.address), folder)
    assert status == 0, output
    if parts_before:
        assert f"{len(parts_before)} of {SHARDS} parts are there already" in output
    _assert_same_parts(folder, output)
    assert all((folder / "ray" / name).stat().st_mtime_ns == time for name, time in parts_before.items())


def test_a_missing_cluster_is_reported_without_a_traceback(folder, pause_folder):
    shutil.rmtree(pause_folder)
    status, output = _wait_for_end(_start_job("ray", folder, "127.0.0.1:1"), folder)
    assert status == 1
    assert re.search("RAY_ADDRESS must be the address of a running Ray cluster", output)
    assert "Traceback" not in output


def _is_worker(process: psutil.Process) -> bool:
    command = " ".join(process.info["cmdline"] or [])
    return "PredictionActor" in command or "HeldActor" in command
