"""The documented `dvc exp run -S …` commands as a shell and DVC parse them: paths with spaces, umlauts and `~`."""

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
_COMMAND = re.compile(r"^(?:\w+=\S+ )?dvc exp run .*-S .*", re.MULTILINE)
COMMANDS = [command for page in _PAGES for command in _COMMAND.findall((ROOT / page).read_text(encoding="utf-8"))]
EXPECTED_VALUES: dict[str, list[tuple[str, str, Any]]] = {
    "README.md": [("fetch", "source", "~/My photos (2026)/Müll")],
    "docs/layouts.md": [
        ("fetch", "source", "~/My photos (2026)/Müll [1], a=b & c"),
        ("fetch", "source", "/home/me/Müll"),
        ("fetch", "source", "https://example.org/set.zip?token=a&v=1"),
        ("fetch", "source", "/path/to/Rubbish of St John's"),
        ("evaluate", "external", ["~/bin photos", "/path/to/Müll.zip"]),
    ],
}
needs_bash = pytest.mark.skipif(shutil.which("bash") is None, reason="the documented commands are for a shell")


def _parse_options(command: str) -> list[str]:
    """The values of -S as the shell passes them. Named sets are omitted."""
    command = re.sub(r"\$\(.*?\)", "", command).replace("dvc exp run", "printf '%s\\0'")
    environment = os.environ | {"HOME": "/home/me"}
    result = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True, env=environment)
    words = result.stdout.split("\0")
    return [value for option, value in pairwise(words) if option == "-S"]


def _apply_to_params(options: list[str], folder: Path) -> dict[str, Any]:
    file = folder / "params.yaml"
    shutil.copyfile(ROOT / "params.yaml", file)
    apply_overrides(file, options)
    return dict(yaml.safe_load(file.read_text(encoding="utf-8")))


@needs_bash
@pytest.mark.parametrize("command", [command for command in COMMANDS if "--queue" not in command])
def test_every_documented_command_changes_the_params(command, tmp_path):
    assert _apply_to_params(_parse_options(command), tmp_path) != yaml.safe_load(
        (ROOT / "params.yaml").read_text(encoding="utf-8")
    )


@needs_bash
@pytest.mark.parametrize("page", EXPECTED_VALUES)
def test_quoted_values_reach_the_params_unchanged(page, tmp_path):
    commands = [command for command in _COMMAND.findall((ROOT / page).read_text(encoding="utf-8")) if '-S "' in command]
    params_of_commands = [_apply_to_params(_parse_options(command), tmp_path) for command in commands]
    assert [
        params[section][key]
        for params, (section, key, _) in zip(params_of_commands, EXPECTED_VALUES[page], strict=True)
    ] == [value for *_, value in EXPECTED_VALUES[page]]


@needs_bash
def test_a_documented_command_runs_and_expands_the_tilde(clone, tmp_path, monkeypatch):
    import cv2

    for label in ("Glass", "Paper"):
        folder = tmp_path / "My photos (2026)/Müll" / label
        folder.mkdir(parents=True)
        for number in range(3):
            data = cv2.imencode(".png", picture(number + len(label) * 10))[1]
            (folder / f"{number}.png").write_bytes(data.tobytes())
    monkeypatch.setenv("HOME", str(tmp_path))
    command = next(command for command in COMMANDS if "(2026)/Müll'" in command).partition("   #")[0]
    tiny_pipeline.run(clone, "bash", "-c", f"{command} fetch")
    dataset = json.loads((clone / "data/dataset.json").read_text(encoding="utf-8"))
    assert (dataset["dataset"], dataset["images"]) == ("Müll", 6)


@pytest.mark.parametrize("name", ["~/photos", "/Müll", "/a(b)", "/a[1]", "/a,b", "/a=b", "/it's"])
def test_dvc_rejects_special_characters_without_inner_quotes(name, tmp_path):
    with pytest.raises(InvalidArgumentError):
        _apply_to_params([f"fetch.source={name}"], tmp_path)
