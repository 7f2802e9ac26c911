"""`realwaste` in a shell: version, completion, help, and the log lines of the first calls."""

import re
from importlib.metadata import version
from typing import cast

import colours
import pytest
from colours import run_python
from typer.core import TyperGroup
from typer.main import get_command
from typer.testing import CliRunner

from realwaste.__main__ import app
from realwaste.cli import model_loading
from realwaste.models import export

VERBS = ["train", "predict", "evaluate", "compare", "models", "info", "export"]


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
    result = run_python("-m", "realwaste", "--install-completion", "bash", cwd=tmp_path, **environment)
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
    result = run_python("-c", code, cwd=tmp_path)
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
