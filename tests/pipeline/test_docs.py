"""Code in docs/: the Python example in sharing.md, and the notebook explore.ipynb as it is committed."""

import json
import re
import subprocess
from collections.abc import Mapping
from functools import reduce
from typing import Any

import notebook
import pandas as pd
import pytest
import yaml
from dvc.repo import Repo

from benchmarks.parts.child import ROOT
from realwaste.core.files import write_csv

SHARING_PAGE = (ROOT / "docs/sharing.md").read_text(encoding="utf-8")


@pytest.mark.filterwarnings("ignore:_NoneStep.value:DeprecationWarning")
def test_the_python_example_reads_scores_parameters_and_predictions(tmp_path):
    for name in ("metrics/compare.json", "params.yaml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    write_csv(tmp_path / "data/predictions.csv", pd.DataFrame({"path": ["NA"], "model": ["cnn"]}))
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    Repo.init(str(tmp_path))
    with Repo(str(tmp_path)) as repo:
        repo.add([str(tmp_path / "data/predictions.csv")])
    (tmp_path / "data/predictions.csv").unlink()  # so that it must come from DVC's cache
    (code,) = re.findall(r"```python\n(.+?)```", SHARING_PAGE, re.DOTALL)
    namespace: dict[str, Any] = {}
    exec(re.sub(r'"https://git\S+"', repr(str(tmp_path)), code), namespace)  # noqa: S102 - from our page
    assert namespace["scores"] == json.loads((ROOT / "metrics/compare.json").read_text(encoding="utf-8"))
    assert namespace["used"]["base"]["seed"] == 42
    assert namespace["predictions"]["path"].tolist() == ["NA"]


def test_the_documented_columns_exist_in_metrics_and_params():
    rows = re.findall(r"^\| (`.+`) \| `(metrics/\w+\.json|params\.yaml)` \|$", SHARING_PAGE, re.MULTILINE)
    assert len(rows) == 3
    for columns, file in rows:
        values = yaml.safe_load((ROOT / file).read_text(encoding="utf-8"))
        for column in re.findall(r"`([\w.]+)`", columns):
            value = reduce(lambda section, key: section[key], column.split("."), values)
            assert value is not None
            assert not isinstance(value, Mapping), "the key must name a value, not a section"


def test_the_notebook_is_committed_without_outputs_and_attachments():
    """An output might contain a photograph. test_repro.py runs the notebook on the results of a run."""
    code = [cell for cell in notebook.cells() if cell["cell_type"] == "code"]
    assert len(code) > 5
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)
    assert not any(cell.get("attachments") for cell in notebook.cells())


def test_the_notebook_does_not_use_the_test_split():
    """Exploration guides choices. Only the pipeline reads the test split, once."""
    source = "\n".join("".join(cell["source"]) for cell in notebook.cells() if cell["cell_type"] == "code")
    assert '["split"] == "test"' not in source
    assert source.count('["split"] == "val"') == source.count('["split"] != "test"') == 1
