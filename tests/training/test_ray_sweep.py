"""The sweep on two Ray nodes of a core each, started here: one process' table, from both nodes, whoever is killed."""

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
    """Pictures, and the table of one process with a single thread, as each trial has."""
    folder = tmp_path_factory.mktemp("sweep")
    for number, label in enumerate(("glass", "paper")):
        (folder / "pictures" / label).mkdir(parents=True)
        for index in range(40):
            pixels = picture(1000 * number + index, 64, 64) // 2 + 40 * number
            cv2.imwrite(str(folder / f"pictures/{label}/{label}_{index}.jpg"), pixels)
    status, output = _finished(_start("local", folder, TF_NUM_INTRAOP_THREADS="1", TF_NUM_INTEROP_THREADS="1"), folder)
    assert status == 0, output
    return folder


@pytest.fixture
def fresh(folder):
    shutil.rmtree(folder / "kept_ray", ignore_errors=True)
    (folder / "ray.csv").unlink(missing_ok=True)
    return folder


_start = partial(start, "sweep_job.py")


def _finished(job: subprocess.Popen[bytes], folder: Path) -> tuple[int, str]:
    status, output = finished(job, folder, LIMIT_S)
    return status, " ".join(output.split())


def _table(folder: Path, engine: str) -> pd.DataFrame:
    return pd.read_csv(folder / f"{engine}.csv").drop(columns="seconds")


def _wait_for_an_epoch(job: subprocess.Popen[bytes], folder: Path) -> None:
    wait_for(job, folder, lambda: bool(list(folder.glob("kept_ray/epochs_*"))), LIMIT_S)


def test_rates_are_tried_on_both_nodes_with_the_table_of_one_process(fresh, nodes):
    status, output = _finished(_start("ray", fresh, nodes.address), fresh)
    assert status == 0, output
    places = dict(re.findall(r"(\S+) ([0-9a-f]{8})\b", output.rpartition("rates on nodes:")[2]))
    assert set(map(float, places)) == set(RATES)
    assert len(set(places.values())) == 2
    pd.testing.assert_frame_equal(_table(fresh, "ray"), _table(fresh, "local"), check_exact=True)
    assert pd.read_csv(fresh / "live.csv")["learning_rate"].unique().tolist() == RATES
    assert [path.name for path in (fresh / "kept_ray").iterdir() if not path.name.startswith("rate_")] == []


@pytest.mark.parametrize("killed", ["node", "job"])
def test_what_is_killed_costs_no_epoch(fresh, nodes, killed):
    job = _start("ray", fresh, nodes.address)
    _wait_for_an_epoch(job, fresh)
    if killed == "node":
        nodes.kill(-1)
    else:
        job.kill()
        job.wait()
        job = _start("ray", fresh, nodes.address)
    status, output = _finished(job, fresh)
    if killed == "node":
        nodes.add()
    assert status == 0, output
    pd.testing.assert_frame_equal(_table(fresh, "ray"), _table(fresh, "local"), check_exact=True)


def test_pruned_rates_have_the_epochs_that_they_had(fresh, nodes):
    status, output = _finished(_start("ray", fresh, nodes.address, "--prune"), fresh)
    assert status == 0, output
    ours, theirs = _table(fresh, "ray"), _table(fresh, "local")
    assert ours["learning_rate"].unique().tolist() == RATES
    assert len(ours) < len(theirs)
    assert ours.groupby("learning_rate").size().max() == EPOCHS
    both = ours.merge(theirs, on=list(ours.columns), how="inner")
    assert len(both) == len(ours), "what was trained is as without pruning"
