"""Embedding on two Ray nodes with one core each: the vectors of one process, also if a node or the job is killed."""

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
    """Images, and the vectors that one process computes."""
    folder = tmp_path_factory.mktemp("embedding")
    (folder / "pictures").mkdir()
    for number in range(IMAGES):
        cv2.imwrite(str(folder / f"pictures/{number:03d}.jpg"), picture(number, 300, 300))
    assert _finished(_start("local", folder), folder)[0] == 0
    return folder


@pytest.fixture
def fresh(folder):
    for name in ("ray", "checkpoint_ray", "held"):
        shutil.rmtree(folder / name, ignore_errors=True)
    return folder


@pytest.fixture
def held(fresh):
    """A folder: as long as it exists, a job that was started with PARTS=n waits after about n parts."""
    (fresh / "held").mkdir()
    yield fresh / "held"
    shutil.rmtree(fresh / "held", ignore_errors=True)


_start = partial(start, "embedding_job.py")


def _finished(job: subprocess.Popen[bytes], folder: Path) -> tuple[int, str]:
    return finished(job, folder, LIMIT_S)


def _parts(folder: Path) -> int:
    return len(list(folder.glob("checkpoint_ray/rows_*.npy")))


def _wait_for_parts(job: subprocess.Popen[bytes], folder: Path, parts: int) -> None:
    wait_for(job, folder, lambda: _parts(folder) >= parts, LIMIT_S)


def _assert_same_vectors(folder: Path) -> None:
    """Every image has one vector, equal to the bits to that of one process."""
    ours, theirs = embeddings.load(folder / "ray"), embeddings.load(folder / "local")
    assert ours.paths.tolist() == theirs.paths.tolist() == [f"{number:03d}.jpg" for number in range(IMAGES)]
    np.testing.assert_array_equal(ours.vectors, theirs.vectors)


def _images_per_node(output: str) -> list[int]:
    line = " ".join(output.split()).rpartition("images per node:")[2]
    return [int(count) for count in re.findall(r"[0-9a-f]{8} (\d+)", line)]


def test_two_nodes_embed_as_one_process_does(fresh, nodes, held):
    job = _start("ray", fresh, nodes.address, **{PARTS: "0"})
    wait_for(job, fresh, lambda: len(list(held.glob("node-*"))) == 2, LIMIT_S)  # both are at work
    shutil.rmtree(held)
    status, output = _finished(job, fresh)
    assert status == 0, output
    counts = _images_per_node(output)
    assert len(counts) == 2
    assert sum(counts) == IMAGES
    _assert_same_vectors(fresh)


@pytest.mark.parametrize("parts", [0, 1, 3, 6, 9])
def test_a_killed_node_loses_and_duplicates_no_row(fresh, nodes, held, parts):
    """SIGKILL to a node and all of its workers, after so many parts; 0: while the actors start."""
    job = _start("ray", fresh, nodes.address, **{PARTS: str(parts)})
    wait_for(job, fresh, lambda: b"parts of the images" in (fresh / "job.log").read_bytes(), LIMIT_S)
    _wait_for_parts(job, fresh, parts)
    nodes.kill(-1)
    assert parts <= _parts(fresh) < ALL_PARTS
    shutil.rmtree(held)
    status, output = _finished(job, fresh)
    nodes.add()
    assert status == 0, output
    _assert_same_vectors(fresh)


@pytest.mark.parametrize("parts", [1, 7])
def test_a_killed_job_resumes_with_the_missing_parts(fresh, nodes, held, parts):
    job = _start("ray", fresh, nodes.address, **{PARTS: str(parts)})
    _wait_for_parts(job, fresh, parts)
    job.kill()
    job.wait()
    finished = _parts(fresh)
    shutil.rmtree(held)
    status, output = _finished(_start("ray", fresh, nodes.address), fresh)
    assert status == 0, output
    assert sum(_images_per_node(output)) < IMAGES
    assert f"{ALL_PARTS - finished} parts of the images" in " ".join(output.split())
    _assert_same_vectors(fresh)


@pytest.mark.usefixtures("held")
def test_a_local_ray_cluster_ends_with_a_killed_job(fresh):
    job = _start("ray", fresh, **{PARTS: "1"})
    _wait_for_parts(job, fresh, 1)
    family = psutil.Process(job.pid).children(recursive=True)
    assert any("raylet" in process.name() for process in family)
    job.kill()
    job.wait()
    _, alive = psutil.wait_procs(family, timeout=LIMIT_S)
    assert alive == []


def test_a_node_without_the_images_is_reported(fresh, nodes):
    status, output = _finished(_start("ray", fresh, nodes.address, "--lost"), fresh)
    assert status == 1, output
    assert "Every node of the cluster must see the images under the same path" in " ".join(output.split())
    assert "Traceback" not in output


def test_no_progress_ends_with_a_clear_error(fresh, nodes):
    """Two nodes whose cores another job occupies: Ray would wait forever."""
    variables = os.environ | OPEN | {"RAY_ADDRESS": nodes.address}
    with subprocess.Popen([sys.executable, "-c", _OCCUPY_ALL], env=variables, stdout=subprocess.PIPE) as occupying:
        try:
            assert occupying.stdout is not None
            assert occupying.stdout.readline() == b"occupied\n"
            status, output = _finished(_start("ray", fresh, nodes.address, REALWASTE_RAY_PATIENCE="15"), fresh)
        finally:
            occupying.kill()
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
