"""A sweep on two Ray nodes of one core each: the table of one process, also if a node or the job is killed."""

import re
import shutil
import subprocess
from functools import partial
from pathlib import Path

import cv2
import pandas as pd
import pytest
from conftest import picture
from ray_jobs import finished, start, wait_for
from sweep_job import EPOCHS, RATES

pytestmark = pytest.mark.slow
LIMIT_S = 280


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Pictures, and the table of one process. It has a single thread, as each trial on Ray has."""
    folder = tmp_path_factory.mktemp("sweep")
    for number, label in enumerate(("glass", "paper")):
        (folder / "pictures" / label).mkdir(parents=True)
        for index in range(40):
            pixels = picture(1000 * number + index, 64, 64) // 2 + 40 * number
            cv2.imwrite(str(folder / f"pictures/{label}/{label}_{index}.jpg"), pixels)
    status, output = _wait_for_end(
        _start_job("local", folder, TF_NUM_INTRAOP_THREADS="1", TF_NUM_INTEROP_THREADS="1"), folder
    )
    assert status == 0, output
    return folder


@pytest.fixture
def clean_folder(folder):
    """The folder without results of Ray."""
    shutil.rmtree(folder / "kept_ray", ignore_errors=True)
    (folder / "ray.csv").unlink(missing_ok=True)
    return folder


_start_job = partial(start, "sweep_job.py")


def _wait_for_end(job: subprocess.Popen[bytes], folder: Path) -> tuple[int, str]:
    status, output = finished(job, folder, LIMIT_S)
    return status, " ".join(output.split())


def _read_table(folder: Path, engine: str) -> pd.DataFrame:
    return pd.read_csv(folder / f"{engine}.csv").drop(columns="seconds")


def _wait_for_epoch(job: subprocess.Popen[bytes], folder: Path) -> None:
    wait_for(job, folder, lambda: bool(list(folder.glob("kept_ray/epochs_*"))), LIMIT_S)


def test_a_sweep_uses_both_nodes_and_gives_the_table_of_one_process(clean_folder, nodes):
    status, output = _wait_for_end(_start_job("ray", clean_folder, nodes.address), clean_folder)
    assert status == 0, output
    node_by_rate = dict(re.findall(r"(\S+) ([0-9a-f]{8})\b", output.rpartition("rates on nodes:")[2]))
    assert set(map(float, node_by_rate)) == set(RATES)
    assert len(set(node_by_rate.values())) == 2
    pd.testing.assert_frame_equal(
        _read_table(clean_folder, "ray"), _read_table(clean_folder, "local"), check_exact=True
    )
    assert pd.read_csv(clean_folder / "live.csv")["learning_rate"].unique().tolist() == RATES
    assert [path.name for path in (clean_folder / "kept_ray").iterdir() if not path.name.startswith("rate_")] == []


@pytest.mark.parametrize("killed", ["node", "job"])
def test_a_killed_node_or_job_does_not_change_the_table(clean_folder, nodes, killed):
    job = _start_job("ray", clean_folder, nodes.address)
    _wait_for_epoch(job, clean_folder)
    if killed == "node":
        nodes.kill(-1)
    else:
        job.kill()
        job.wait()
        job = _start_job("ray", clean_folder, nodes.address)
    status, output = _wait_for_end(job, clean_folder)
    if killed == "node":
        nodes.add()
    assert status == 0, output
    pd.testing.assert_frame_equal(
        _read_table(clean_folder, "ray"), _read_table(clean_folder, "local"), check_exact=True
    )


def test_pruning_removes_epochs_and_does_not_change_the_others(clean_folder, nodes):
    status, output = _wait_for_end(_start_job("ray", clean_folder, nodes.address, "--prune"), clean_folder)
    assert status == 0, output
    pruned, complete = _read_table(clean_folder, "ray"), _read_table(clean_folder, "local")
    assert pruned["learning_rate"].unique().tolist() == RATES
    assert len(pruned) < len(complete)
    assert pruned.groupby("learning_rate").size().max() == EPOCHS
    common_rows = pruned.merge(complete, on=list(pruned.columns), how="inner")
    assert len(common_rows) == len(pruned), "pruning must not change the epochs that were trained"
