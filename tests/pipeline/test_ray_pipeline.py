"""The pipeline with base.engine=ray: each stage starts Ray on this machine and stops it."""

import json

import numpy as np
import pandas as pd
import psutil
import pytest
from tiny_pipeline import ran, run

from benchmarks.parts.workspace import set_params
from realwaste.embedding import embeddings

pytestmark = pytest.mark.slow


def test_both_engines_give_identical_vectors_and_sweep_results(clone, monkeypatch):
    # One thread, as in each trial of Ray: with another number of threads, sums are rounded differently.
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", "1")
    monkeypatch.setenv("TF_NUM_INTEROP_THREADS", "1")
    run(clone, "dvc", "repro", "finetune_irv2", "lr_sweep")
    vectors = np.asarray(embeddings.load(clone / "data/embeddings/irv2").vectors)
    sweep_table = pd.read_csv(clone / "plots/data/lr_sweep.csv")
    set_params(clone, base__engine="ray")
    output = run(clone, "dvc", "repro", "finetune_irv2", "lr_sweep")
    assert sorted(ran(output)) == ["embed_irv2", "lr_sweep"], "unchanged vectors must not retrain the head"
    assert "Traceback" not in output
    np.testing.assert_array_equal(embeddings.load(clone / "data/embeddings/irv2").vectors, vectors)
    pd.testing.assert_frame_equal(pd.read_csv(clone / "plots/data/lr_sweep.csv"), sweep_table, check_exact=True)
    assert len(json.loads((clone / "metrics/lr_sweep.json").read_text())["rates"]) == 2
    assert list((clone / "data/.state").glob("*/*")) == []
    run(clone, "dvc", "repro", "-f", "-s", "finetune_irv2")
    assert _find_processes(str(clone)) == []


def _find_processes(folder: str) -> list[str]:
    """The command lines of the processes that work in `folder`. Ray must leave none."""
    command_lines = []
    for process in psutil.process_iter(["cwd", "cmdline"]):
        if (process.info["cwd"] or "").startswith(folder):
            command_lines.append(" ".join(process.info["cmdline"] or []))
    return command_lines
