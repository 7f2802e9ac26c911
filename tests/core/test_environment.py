"""Errors of the environment end a command with two lines and status 1; line ends in git; versions of Python."""

import os
import re
import shutil
import subprocess
import sys

import pytest

from benchmarks.parts.child import ROOT
from benchmarks.parts.workspace import copy_checkout, set_params
from realwaste.core import environment

UNNAMED_USER_SCRIPT = """
import os, pwd, runpy, sys
def fail(uid):
    raise KeyError(f"getpwuid(): uid not found: {uid}")
pwd.getpwuid = fail
sys.argv = sys.argv[1:]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""
REMOVED_VARIABLES = {"HOME", "USER", "LOGNAME", "LNAME", "USERNAME", "REALWASTE_CACHE"}


def _run_as_unnamed_user(*arguments, cwd, **variables):
    """Run a module with a user id that has no name, as in a container started with --user; returns standard error."""
    inherited = {
        name: text for name, text in os.environ.items() if name not in REMOVED_VARIABLES and not name.startswith("XDG_")
    }
    environment = inherited | {"PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}", "COLUMNS": "300"} | variables
    command = [sys.executable, "-c", UNNAMED_USER_SCRIPT, *map(str, arguments)]
    process = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert process.returncode == 1, process.stderr
    assert "Traceback" not in process.stderr
    assert len(process.stderr.splitlines()) == 2, process.stderr
    return process.stderr


@pytest.mark.parametrize("source", ["http://127.0.0.1:9/photos.zip", "~/photos"])
def test_a_stage_without_a_home_folder_names_the_variable_to_set(source, tmp_path):
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copyfile(ROOT / name, tmp_path / name)
    set_params(tmp_path, fetch__source=source)
    assert "Set the variable HOME to a folder that you may write to." in _run_as_unnamed_user(
        "stages", "fetch", cwd=tmp_path
    )


def test_a_command_without_a_home_folder_or_user_name_names_the_variable_to_set(tmp_path):
    arguments = ["realwaste", "report", "--against", "HEAD", "-o", tmp_path / "page.html"]
    assert "Set the variable HOME" in _run_as_unnamed_user(*arguments, cwd=ROOT)
    assert "Set the variable USER to one; any will do." in _run_as_unnamed_user(
        *arguments, cwd=ROOT, HOME=str(tmp_path)
    )


@pytest.mark.parametrize(
    "text",
    [
        "/a/.git/: repository path '/a' is not owned by current user",
        "fatal: detected dubious ownership in repository at '/a'",
    ],
)
def test_git_errors_about_the_owner_of_a_checkout_are_explained(text):
    error = environment.explain_error(Exception(text))
    assert "The checkout must belong to the user who runs this" in str(error)
    assert "git config --global --add safe.directory" in str(error)


def test_explain_error_returns_none_for_errors_of_the_program():
    for error in (KeyError("uid"), RuntimeError("home"), OSError("x"), ValueError("not found")):
        assert environment.explain_error(error) is None


def test_autocrlf_of_git_converts_no_line_ends_in_a_clone(tmp_path):
    original, clone = tmp_path / "original", tmp_path / "clone"
    copy_checkout(original)
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@t", "-c", "core.safecrlf=false"]
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "t"]):
        subprocess.run([*git, *command], cwd=original, check=True)
    subprocess.run([*git, "clone", "-q", "-c", "core.autocrlf=true", original, clone], check=True)
    files = [path.relative_to(clone) for path in clone.rglob("*") if path.is_file() and ".git" not in path.parts]
    changed = [file for file in files if (clone / file).read_bytes() != (original / file).read_bytes()]
    assert len(files) > 100
    assert changed == []


def test_pyproject_makefile_and_readme_name_the_same_python_versions():
    ((first, last),) = re.findall(r'requires-python = ">=3\.(\d+),<3\.(\d+)"', (ROOT / "pyproject.toml").read_text())
    assert f"not (3, {first}) <= sys.version_info < (3, {last})" in (ROOT / "Makefile").read_text()
    versions = ", ".join(f"3.{minor}" for minor in range(int(first), int(last) - 1)) + f" or 3.{int(last) - 1}"
    for file in ("README.md", "Makefile"):
        assert f"Python {versions}" in (ROOT / file).read_text(encoding="utf-8")
