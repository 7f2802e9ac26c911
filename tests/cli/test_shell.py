"""`realwaste` in a shell: version, completion, help, and the log lines of the first calls."""

import json
import os
import re
import subprocess
import sys
from importlib.metadata import version
from typing import cast

import colours
import cv2
import keras
import pytest
from conftest import picture
from typer.core import TyperGroup
from typer.main import get_command
from typer.testing import CliRunner

from benchmarks.parts.child import ROOT
from realwaste.__main__ import app
from realwaste.cli import model_loading
from realwaste.models import cnn, export, model_file
from realwaste.models.model_file import Classifier, ModelMetadata

VERBS = ["train", "predict", "evaluate", "compare", "models", "info", "export"]


def _run_process(*arguments, cwd, **environment):
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src"), "COLUMNS": "200"} | environment
    environment.pop("TF_CPP_MIN_LOG_LEVEL", None)
    return subprocess.run(
        [sys.executable, *arguments], cwd=cwd, env=environment, capture_output=True, encoding="utf-8", check=False
    )


def test_the_version_is_printed():
    result = CliRunner().invoke(app, ["--version"])
    assert (result.exit_code, result.stdout) == (0, f"realwaste {version('realwaste')}\n")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_shown_for_a_shell(shell, monkeypatch):
    # Typer has this variable for tests; otherwise it detects the shell that runs them.
    monkeypatch.setenv("_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION", "1")
    result = CliRunner().invoke(app, ["--show-completion", shell], prog_name="realwaste")
    assert result.exit_code == 0
    assert "_REALWASTE_COMPLETE" in result.stdout


@pytest.mark.parametrize(
    ("typed_words", "completions"),
    [
        (["realwaste", "pre"], ["predict"]),
        (["realwaste", "predict", "--sort"], ["--sort-into"]),
        (["realwaste", "predict", "--model", ""], ["cnn", "mine"]),
        (["realwaste", "info", "m"], ["mine"]),
    ],
)
def test_a_shell_completes_verbs_options_and_models(typed_words, completions, tmp_path, monkeypatch):
    colours.save(tmp_path / "models/mine.keras")
    colours.save(tmp_path / "models/cnn.keras")
    monkeypatch.chdir(tmp_path)
    environment = {
        "_REALWASTE_COMPLETE": "complete_bash",
        "COMP_WORDS": " ".join(typed_words),
        "COMP_CWORD": str(len(typed_words) - 1),
    }
    assert CliRunner().invoke(app, [], prog_name="realwaste", env=environment).stdout.split() == completions


def test_completion_is_installed_into_the_configuration_of_the_shell(tmp_path):
    environment = {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1", "HOME": str(tmp_path)}
    result = _run_process("-m", "realwaste", "--install-completion", "bash", cwd=tmp_path, **environment)
    assert result.returncode == 0, result.stderr
    assert "realwaste" in (tmp_path / ".bashrc").read_text()


@pytest.mark.parametrize("verb", VERBS)
def test_every_help_text_has_an_example_with_existing_options(verb):
    command = cast(TyperGroup, get_command(app)).commands[verb]
    (example,) = re.findall(r"Example: `realwaste ([^`]+)`", command.help or "")
    assert example.split()[0] == verb
    options = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in example.split() if word.startswith("-")} <= options
    result = CliRunner().invoke(app, [verb, "--help"])
    assert result.exit_code == 0
    assert f"Example: realwaste {verb}" in result.stdout
    assert "<bool>" not in result.stdout


def test_help_imports_none_of_the_large_packages(tmp_path):
    code = """
import sys
from realwaste.__main__ import main
sys.argv = ["realwaste", "predict", "--help"]
try:
    main()
except SystemExit:
    large = {"tensorflow", "keras", "openvino", "pandas", "scipy", "cv2", "requests", "matplotlib"}
    sys.stderr.write(" ".join(sorted(large & sys.modules.keys())))
"""
    result = _run_process("-c", code, cwd=tmp_path)
    assert "Usage: realwaste predict" in result.stdout
    assert result.stderr == ""


def test_an_export_is_written_beside_its_model_with_its_name(tmp_path, monkeypatch):
    colours.save(tmp_path / "share/mine.keras")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(model_loading, "load_classifier", lambda path: path)
    monkeypatch.setattr(export, "export", lambda classifier, kind, target, raw: target)
    result = CliRunner().invoke(app, ["export", "--model", "share/mine.keras", "--format", "litert"])
    assert result.exit_code == 0
    assert "share/mine.tflite" in result.stderr


FIRST_CALLS = """
import sys
from realwaste.__main__ import main
for arguments in (
    ["predict", "set", "names", "--json"],
    ["predict", "names", "--overlay", "looked", "--sort-into", "sorted"],
    ["evaluate", "set"],
):
    sys.argv = ["realwaste", *arguments, "-m", "one"]
    try:
        main()
    except SystemExit as error:
        assert error.code == 0, (arguments, error.code)
"""


def test_the_first_calls_write_no_log_lines_of_tensorflow(tmp_path):
    """With an empty cache, so that networks are converted; in another process, because C++ code writes log lines."""
    classes = ("glass", "Ünrat")
    keras.utils.set_random_seed(0)
    metadata = ModelMetadata("one", classes, 32, "drawn", cnn.BACKBONE, cnn.WEIGHTS)
    model_file.save(tmp_path / "models/one.keras", Classifier(cnn.build(32, 2, batch_norm_momentum=0.9), metadata))
    for number, label in enumerate(("glass", "paper")):
        (tmp_path / "set" / label).mkdir(parents=True)
        cv2.imwrite(str(tmp_path / f"set/{label}/{number}.png"), picture(number))
    (tmp_path / "names").mkdir()
    (tmp_path / "names/日本語.png").write_bytes((tmp_path / "set/glass/0.png").read_bytes())
    environment = {"LC_ALL": "C", "PYTHONUTF8": "0", "REALWASTE_CACHE": str(tmp_path / "empty")}
    (tmp_path / "first.py").write_text(FIRST_CALLS, encoding="utf-8")
    result = _run_process("first.py", cwd=tmp_path, **environment)
    assert result.returncode == 0, result.stderr
    assert [line for line in result.stderr.splitlines() if not re.match(r"\d\d:\d\d:\d\d INFO ", line)] == []
    assert not re.search("tensorflow|absl|cuda|onednn", result.stderr, re.IGNORECASE)
    output, end = json.JSONDecoder().raw_decode(result.stdout)
    assert [answer["path"] for answer in output["answers"]] == [
        "set/glass/0.png",
        "set/paper/1.png",
        "names/日本語.png",
    ]
    table = next(line for line in result.stdout[end:].splitlines() if ".png" in line)
    assert table.isascii(), "the locale C has only ASCII characters"
