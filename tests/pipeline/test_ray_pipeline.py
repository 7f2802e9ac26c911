"""The pipeline itself with base.engine=ray, where Ray starts on this machine and ends with each stage."""

import json

import numpy as np
import pandas as pd
import psutil
import pytest
from tiny_pipeline import ran, run

from benchmarks.parts.workspace import set_params
from realwaste.embedding import embeddings

pytestmark = pytest.mark.slow


def test_embedding_and_sweep_by_either_engine(clone, monkeypatch):
    # Of one process too, as each trial has: sums of other threads are rounded in another order.
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", "1")
    monkeypatch.setenv("TF_NUM_INTEROP_THREADS", "1")
    run(clone, "dvc", "repro", "finetune_irv2", "lr_sweep")
    vectors = np.asarray(embeddings.load(clone / "data/embeddings/irv2").vectors)
    table = pd.read_csv(clone / "plots/data/lr_sweep.csv")
    set_params(clone, base__engine="ray")
    output = run(clone, "dvc", "repro", "finetune_irv2", "lr_sweep")
    assert sorted(ran(output)) == ["embed_irv2", "lr_sweep"], "a head on the same vectors is the same head"
    assert "Traceback" not in output
    np.testing.assert_array_equal(embeddings.load(clone / "data/embeddings/irv2").vectors, vectors)
    pd.testing.assert_frame_equal(pd.read_csv(clone / "plots/data/lr_sweep.csv"), table, check_exact=True)
    assert len(json.loads((clone / "metrics/lr_sweep.json").read_text())["rates"]) == 2
    assert list((clone / "data/.state").glob("*/*")) == []
    run(clone, "dvc", "repro", "-f", "-s", "finetune_irv2")
    assert _ray_processes(str(clone)) == []


def _ray_processes(folder: str) -> list[str]:
    """What Ray has left running that works in `folder`."""
    command_lines = []
    for process in psutil.process_iter(["cwd", "cmdline"]):
        if (process.info["cwd"] or "").startswith(folder):
            command_lines.append(" ".join(process.info["cmdline"] or []))
    return command_lines
