"""base.engine without a cluster: which engine is chosen, the error without Ray, and the parts of an embedding."""

import importlib.util
import os
import subprocess
import sys
from functools import partial
from typing import Any, cast

import keras
import numpy as np
import pytest

from benchmarks.parts.child import ROOT
from realwaste.core.errors import UserError
from realwaste.embedding import extraction, ray_extraction
from realwaste.runtime import array_file
from realwaste.training import ray_sweep, sweep


@pytest.fixture
def without_ray(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)


@pytest.mark.parametrize(
    "get_engine",
    [lambda name: extraction.create_embedder(name, keras.Sequential()), sweep.create_runner],
    ids=["embedding", "sweep"],
)
def test_the_error_without_ray_names_the_missing_extra(get_engine, without_ray):
    get_engine("local")
    with pytest.raises(UserError, match=r"(?s)base\.engine=ray needs Ray.*make setup-dev`, or pip install '\.\[ray\]'"):
        get_engine("ray")


def test_the_engine_is_chosen_by_its_name():
    model = keras.Sequential()
    ray_embedder, local_embedder = (
        cast("partial[Any]", extraction.create_embedder(name, model)) for name in ("ray", "local")
    )
    assert ray_embedder.func is ray_extraction.embed
    assert local_embedder.func is not ray_extraction.embed
    assert sweep.create_runner("ray") is ray_sweep.run_sweep


def test_the_local_engine_starts_without_ray():
    code = """
import sys
from realwaste.core.library_settings import importing_tensorflow
with importing_tensorflow():
    from realwaste.embedding import extraction
    from realwaste.training import sweep
extraction.create_embedder("local", None)
sweep.create_runner("local")
print("ray" in sys.modules)
"""
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, env=environment, check=True)
    assert done.stdout.strip() == b"False"


@pytest.mark.parametrize("count", [1, 7, 100, 999])
@pytest.mark.parametrize("batch_size", [1, 8])
@pytest.mark.parametrize("actors", [1, 2, 64])
def test_parts_cover_each_row_once_in_complete_batches(count, batch_size, actors):
    rows_per_part = ray_extraction._rows_per_part(count, batch_size, actors)
    assert rows_per_part % batch_size == 0
    for stored_lengths in ({}, {0: 2 * batch_size}, {3 * batch_size: batch_size, 7 * batch_size: 4 * batch_size}):
        finished = {start: min(length, count - start) for start, length in stored_lengths.items() if start < count}
        parts = ray_extraction._missing_parts(count, finished, rows_per_part)
        covered = [row for start, stop in parts for row in range(start, stop)]
        covered += [row for start, length in finished.items() for row in range(start, start + length)]
        assert sorted(covered) == list(range(count))
        assert all(start % batch_size == 0 for start, _ in parts)


def test_missing_and_overlapping_rows_raise_an_error():
    ray_extraction._require_all({0: 5, 5: 3}, 8)
    for counts in ({0: 5}, {0: 5, 6: 2}, {0: 5, 4: 4}, {5: 3}, {0: 5, 5: 3, 8: 1}, {}):
        with pytest.raises(RuntimeError):
            ray_extraction._require_all(counts, 8)


def test_a_damaged_part_is_computed_again(tmp_path):
    for start in (0, 4):
        arrays = [np.ones((4, 2), np.float32), np.array(1.5 + start)]
        array_file.write(extraction.part_file(tmp_path, start), arrays)
    assert ray_extraction._restore(tmp_path) == ({0: 4, 4: 4}, 5.5)
    data = extraction.part_file(tmp_path, 4).read_bytes()
    extraction.part_file(tmp_path, 4).write_bytes(data[:-9])
    assert ray_extraction._restore(tmp_path) == ({0: 4}, 1.5)
