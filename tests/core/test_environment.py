"""Without a home, a user's name, or a checkout of one's own: two lines and status 1, never a traceback."""

import os
import re
import shutil
import subprocess
import sys

import pytest

from benchmarks.parts.child import ROOT
from benchmarks.parts.workspace import copy_checkout, set_params
from realwaste.core import environment

NOBODY = """
import os, pwd, runpy, sys
def nobody(uid):
    raise KeyError(f"getpwuid(): uid not found: {uid}")
pwd.getpwuid = nobody
sys.argv = sys.argv[1:]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""
NAMES = {"HOME", "USER", "LOGNAME", "LNAME", "USERNAME", "REALWASTE_CACHE"}


def _as_nobody(*arguments, cwd, **variables):
    """A process of a user id that has no name, as in a container that was started with one."""
    inherited = {name: text for name, text in os.environ.items() if name not in NAMES and not name.startswith("XDG_")}
    environment = inherited | {"PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}", "COLUMNS": "300"} | variables
    command = [sys.executable, "-c", NOBODY, *map(str, arguments)]
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) == 2, done.stderr
    return done.stderr


@pytest.mark.parametrize("source", ["http://127.0.0.1:9/photos.zip", "~/photos"])
def test_a_stage_without_a_home_names_the_variable(source, tmp_path):
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copyfile(ROOT / name, tmp_path / name)
    set_params(tmp_path, fetch__source=source)
    assert "Set the variable HOME to a folder that you may write to." in _as_nobody("stages", "fetch", cwd=tmp_path)


def test_a_verb_without_a_home_or_a_users_name_names_the_variable(tmp_path):
    page = ["realwaste", "report", "--against", "HEAD", "-o", tmp_path / "page.html"]
    assert "Set the variable HOME" in _as_nobody(*page, cwd=ROOT)
    assert "Set the variable USER to one; any will do." in _as_nobody(*page, cwd=ROOT, HOME=str(tmp_path))


@pytest.mark.parametrize(
    "text",
    [
        "/a/.git/: repository path '/a' is not owned by current user",
        "fatal: detected dubious ownership in repository at '/a'",
    ],
)
def test_a_checkout_of_another_owner(text):
    error = environment.explain_error(Exception(text))
    assert "The checkout must belong to the user who runs this" in str(error)
    assert "git config --global --add safe.directory" in str(error)


def test_errors_of_the_program_are_none_of_the_environment():
    for error in (KeyError("uid"), RuntimeError("home"), OSError("x"), ValueError("not found")):
        assert environment.explain_error(error) is None


def test_lines_end_alike_whatever_git_is_told_to_convert(tmp_path):
    copy_checkout(tmp_path / "here")
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@t", "-c", "core.safecrlf=false"]
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "t"]):
        subprocess.run([*git, *command], cwd=tmp_path / "here", check=True)
    clone = [*git, "clone", "-q", "-c", "core.autocrlf=true", tmp_path / "here", tmp_path / "there"]
    subprocess.run(clone, check=True)
    files = [path for path in (tmp_path / "there").rglob("*") if path.is_file() and ".git" not in path.parts]
    changed = [
        path for path in files if path.read_bytes() != (tmp_path / "here" / path.relative_to(clone[-1])).read_bytes()
    ]
    assert len(files) > 100
    assert changed == []


def test_the_versions_of_python_that_work_are_the_same_everywhere():
    ((first, last),) = re.findall(r'requires-python = ">=3\.(\d+),<3\.(\d+)"', (ROOT / "pyproject.toml").read_text())
    assert f"not (3, {first}) <= sys.version_info < (3, {last})" in (ROOT / "Makefile").read_text()
    named = ", ".join(f"3.{minor}" for minor in range(int(first), int(last) - 1)) + f" or 3.{int(last) - 1}"
    for page in ("README.md", "Makefile"):
        assert f"Python {named}" in (ROOT / page).read_text(encoding="utf-8")
