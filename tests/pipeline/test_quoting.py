"""The documented `dvc exp run -S …` lines as a shell and DVC read them: paths with spaces, umlauts and `~`."""

import json
import os
import re
import shutil
import subprocess
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import tiny_pipeline
import yaml
from conftest import picture
from dvc.exceptions import InvalidArgumentError
from dvc.utils.hydra import apply_overrides

from benchmarks.parts.child import ROOT

_PAGES = ("README.md", "docs/layouts.md", "docs/experiments.md", "docs/scale.md")
_SETTING = re.compile(r"^(?:\w+=\S+ )?dvc exp run .*-S .*", re.MULTILINE)
LINES = [line for page in _PAGES for line in _SETTING.findall((ROOT / page).read_text(encoding="utf-8"))]
QUOTED: dict[str, list[tuple[str, str, Any]]] = {
    "README.md": [("fetch", "source", "~/My photos (2026)/Müll")],
    "docs/layouts.md": [
        ("fetch", "source", "~/My photos (2026)/Müll [1], a=b & c"),
        ("fetch", "source", "/home/me/Müll"),
        ("fetch", "source", "https://example.org/set.zip?token=a&v=1"),
        ("fetch", "source", "/path/to/Rubbish of St John's"),
        ("evaluate", "external", ["~/bin photos", "/path/to/Müll.zip"]),
    ],
}
needs_bash = pytest.mark.skipif(shutil.which("bash") is None, reason="lines for a shell")


def _settings(line: str) -> list[str]:
    """The values of -S, after the shell; named sets are left out."""
    line = re.sub(r"\$\(.*?\)", "", line).replace("dvc exp run", "printf '%s\\0'")
    environment = os.environ | {"HOME": "/home/me"}
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=True, env=environment)
    words = done.stdout.split("\0")
    return [value for option, value in pairwise(words) if option == "-S"]


def _applied(settings: list[str], folder: Path) -> dict[str, Any]:
    file = folder / "params.yaml"
    shutil.copyfile(ROOT / "params.yaml", file)
    apply_overrides(file, settings)
    return dict(yaml.safe_load(file.read_text(encoding="utf-8")))


@needs_bash
@pytest.mark.parametrize("line", [line for line in LINES if "--queue" not in line])
def test_every_documented_line_is_read(line, tmp_path):
    assert _applied(_settings(line), tmp_path) != yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))


@needs_bash
@pytest.mark.parametrize("page", QUOTED)
def test_quoted_values_arrive_as_they_are(page, tmp_path):
    lines = [line for line in _SETTING.findall((ROOT / page).read_text(encoding="utf-8")) if '-S "' in line]
    read = [_applied(_settings(line), tmp_path) for line in lines]
    assert [params[section][key] for params, (section, key, _) in zip(read, QUOTED[page], strict=True)] == [
        value for *_, value in QUOTED[page]
    ]


@needs_bash
def test_a_documented_line_runs_and_the_tilde_is_the_home_folder(clone, tmp_path, monkeypatch):
    import cv2

    for label in ("Glass", "Paper"):
        folder = tmp_path / "My photos (2026)/Müll" / label
        folder.mkdir(parents=True)
        for number in range(3):
            data = cv2.imencode(".png", picture(number + len(label) * 10))[1]
            (folder / f"{number}.png").write_bytes(data.tobytes())
    monkeypatch.setenv("HOME", str(tmp_path))
    line = next(line for line in LINES if "(2026)/Müll'" in line).partition("   #")[0]
    tiny_pipeline.run(clone, "bash", "-c", f"{line} fetch")
    fetched = json.loads((clone / "data/dataset.json").read_text(encoding="utf-8"))
    assert (fetched["dataset"], fetched["images"]) == ("Müll", 6)


@pytest.mark.parametrize("name", ["~/photos", "/Müll", "/a(b)", "/a[1]", "/a,b", "/a=b", "/it's"])
def test_without_the_inner_quotes_dvc_reads_no_such_name(name, tmp_path):
    with pytest.raises(InvalidArgumentError):
        _applied([f"fetch.source={name}"], tmp_path)
