"""Embedding on two Ray nodes of one core each: the vectors of one process, also if a node or the job is killed."""

import os
import re
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import psutil
import pytest
from conftest import picture
from embedding_job import PARTS
from ray_jobs import finished, start, wait_for

from benchmarks.parts.ray_nodes import OPEN
from realwaste.embedding import embeddings

pytestmark = pytest.mark.slow
IMAGES, ALL_PARTS = 240, 15
LIMIT_S = 600  # far longer than anything here takes


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Images, and the vectors of one process."""
    folder = tmp_path_factory.mktemp("embedding")
    (folder / "pictures").mkdir()
    for number in range(IMAGES):
        cv2.imwrite(str(folder / f"pictures/{number:03d}.jpg"), picture(number, 300, 300))
    assert _wait_for_end(_start_job("local", folder), folder)[0] == 0
    return folder


@pytest.fixture
def clean_folder(folder):
    """The folder without results of Ray."""
    for name in ("ray", "checkpoint_ray", "held"):
        shutil.rmtree(folder / name, ignore_errors=True)
    return folder


@pytest.fixture
def pause_folder(clean_folder):
    """While this folder exists, a job that was started with PARTS=n waits after about n parts."""
    (clean_folder / "held").mkdir()
    yield clean_folder / "held"
    shutil.rmtree(clean_folder / "held", ignore_errors=True)


_start_job = partial(start, "embedding_job.py")


def _wait_for_end(job: subprocess.Popen[bytes], folder: Path) -> tuple[int, str]:
    return finished(job, folder, LIMIT_S)


def _count_parts(folder: Path) -> int:
    return len(list(folder.glob("checkpoint_ray/rows_*.npy")))


def _wait_for_parts(job: subprocess.Popen[bytes], folder: Path, parts: int) -> None:
    wait_for(job, folder, lambda: _count_parts(folder) >= parts, LIMIT_S)


def _assert_same_vectors(folder: Path) -> None:
    """Every image has one vector, which equals that of one process bit for bit."""
    actual, expected = embeddings.load(folder / "ray"), embeddings.load(folder / "local")
    assert actual.paths.tolist() == expected.paths.tolist() == [f"{number:03d}.jpg" for number in range(IMAGES)]
    np.testing.assert_array_equal(actual.vectors, expected.vectors)


def _read_images_per_node(output: str) -> list[int]:
    line = " ".join(output.split()).rpartition("images per node:")[2]
    return [int(count) for count in re.findall(r"[0-9a-f]{8} (\d+)", line)]


def test_two_nodes_compute_the_vectors_of_one_process(clean_folder, nodes, pause_folder):
    job = _start_job("ray", clean_folder, nodes.address, **{PARTS: "0"})
    wait_for(job, clean_folder, lambda: len(list(pause_folder.glob("node-*"))) == 2, LIMIT_S)  # both nodes compute
    shutil.rmtree(pause_folder)
    status, output = _wait_for_end(job, clean_folder)
    assert status == 0, output
    counts = _read_images_per_node(output)
    assert len(counts) == 2
    assert sum(counts) == IMAGES
    _assert_same_vectors(clean_folder)


@pytest.mark.parametrize("parts", [0, 1, 3, 6, 9])
def test_a_killed_node_loses_and_duplicates_no_row(clean_folder, nodes, pause_folder, parts):
    """SIGKILL to a node and all of its workers after this number of parts; 0: while the actors start."""
    job = _start_job("ray", clean_folder, nodes.address, **{PARTS: str(parts)})
    wait_for(job, clean_folder, lambda: b"parts of the images" in (clean_folder / "job.log").read_bytes(), LIMIT_S)
    _wait_for_parts(job, clean_folder, parts)
    nodes.kill(-1)
    assert parts <= _count_parts(clean_folder) < ALL_PARTS
    shutil.rmtree(pause_folder)
    status, output = _wait_for_end(job, clean_folder)
    nodes.add()
    assert status == 0, output
    _assert_same_vectors(clean_folder)


@pytest.mark.parametrize("parts", [1, 7])
def test_a_killed_job_resumes_with_the_missing_parts(clean_folder, nodes, pause_folder, parts):
    job = _start_job("ray", clean_folder, nodes.address, **{PARTS: str(parts)})
    _wait_for_parts(job, clean_folder, parts)
    job.kill()
    job.wait()
    finished_parts = _count_parts(clean_folder)
    shutil.rmtree(pause_folder)
    status, output = _wait_for_end(_start_job("ray", clean_folder, nodes.address), clean_folder)
    assert status == 0, output
    assert sum(_read_images_per_node(output)) < IMAGES
    assert f"{ALL_PARTS - finished_parts} parts of the images" in " ".join(output.split())
    _assert_same_vectors(clean_folder)


@pytest.mark.usefixtures("pause_folder")
def test_a_local_ray_cluster_ends_when_its_job_is_killed(clean_folder):
    job = _start_job("ray", clean_folder, **{PARTS: "1"})
    _wait_for_parts(job, clean_folder, 1)
    children = psutil.Process(job.pid).children(recursive=True)
    assert any("raylet" in process.name() for process in children)
    job.kill()
    job.wait()
    _, alive = psutil.wait_procs(children, timeout=LIMIT_S)
    assert alive == []


def test_a_node_without_the_images_is_reported(clean_folder, nodes):
    status, output = _wait_for_end(_start_job("ray", clean_folder, nodes.address, "--lost"), clean_folder)
    assert status == 1, output
    assert "Every node of the cluster must see the images under the same path" in " ".join(output.split())
    assert "Traceback" not in output


def test_a_job_without_progress_ends_with_an_error(clean_folder, nodes):
    """Another job occupies the cores of both nodes, so Ray would wait forever."""
    variables = os.environ | OPEN | {"RAY_ADDRESS": nodes.address}
    with subprocess.Popen([sys.executable, "-c", _OCCUPY_ALL], env=variables, stdout=subprocess.PIPE) as occupier:
        try:
            assert occupier.stdout is not None
            assert occupier.stdout.readline() == b"occupied\n"
            status, output = _wait_for_end(
                _start_job("ray", clean_folder, nodes.address, REALWASTE_RAY_PATIENCE="15"), clean_folder
            )
        finally:
            occupier.kill()
    assert status == 1, output
    assert "none came for 15 s" in " ".join(output.split())


_OCCUPY_ALL = """
import ray, time
ray.init(log_to_driver=False, logging_level="ERROR")

@ray.remote(num_cpus=1)
class Occupier:
    def is_ready(self):
        return True

actors = [Occupier.remote() for _ in range(2)]
ray.get([actor.is_ready.remote() for actor in actors])
print("occupied", flush=True)
time.sleep(3600)
"""
