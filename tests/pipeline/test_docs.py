"""Code in docs/: what sharing.md says of DVC's own interfaces, and explore.ipynb as it lies in git."""

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

PAGE = (ROOT / "docs/sharing.md").read_text(encoding="utf-8")


@pytest.mark.filterwarnings("ignore:_NoneStep.value:DeprecationWarning")
def test_the_python_of_the_page_reads_scores_parameters_and_predictions(tmp_path):
    for name in ("metrics/compare.json", "params.yaml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    write_csv(tmp_path / "data/predictions.csv", pd.DataFrame({"path": ["NA"], "model": ["cnn"]}))
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    Repo.init(str(tmp_path))
    with Repo(str(tmp_path)) as repo:
        repo.add([str(tmp_path / "data/predictions.csv")])
    (tmp_path / "data/predictions.csv").unlink()  # DVC's cache has it
    (code,) = re.findall(r"```python\n(.+?)```", PAGE, re.DOTALL)
    names: dict[str, Any] = {}
    exec(re.sub(r'"https://git\S+"', repr(str(tmp_path)), code), names)  # noqa: S102 - the page's
    assert names["scores"] == json.loads((ROOT / "metrics/compare.json").read_text(encoding="utf-8"))
    assert names["used"]["base"]["seed"] == 42
    assert names["predictions"]["path"].tolist() == ["NA"]


def test_the_columns_that_are_named_are_there():
    rows = re.findall(r"^\| (`.+`) \| `(metrics/\w+\.json|params\.yaml)` \|$", PAGE, re.MULTILINE)
    assert len(rows) == 3
    for columns, file in rows:
        values = yaml.safe_load((ROOT / file).read_text(encoding="utf-8"))
        for column in re.findall(r"`([\w.]+)`", columns):
            value = reduce(lambda inside, key: inside[key], column.split("."), values)
            assert value is not None
            assert not isinstance(value, Mapping), "a value, which is a column"


def test_the_notebook_keeps_no_output_which_might_be_a_photograph():
    """tests/pipeline/test_repro.py runs it on what a run left."""
    code = [cell for cell in notebook.cells() if cell["cell_type"] == "code"]
    assert len(code) > 5
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)
    assert not any(cell.get("attachments") for cell in notebook.cells())


def test_the_notebook_looks_at_no_test_image():
    """What is explored is chosen by; the test is read once, by the pipeline."""
    source = "\n".join("".join(cell["source"]) for cell in notebook.cells() if cell["cell_type"] == "code")
    assert '["split"] == "test"' not in source
    assert source.count('["split"] == "val"') == source.count('["split"] != "test"') == 1
