"""The packages: which may import which, and how long a file or function may be."""

import ast
import re
import subprocess
import sys
import tomllib

import pytest

from benchmarks.parts.child import ROOT

PACKAGES = [path.parent for path in (ROOT / "src/realwaste").glob("*/__init__.py")]
FILES = [path for folder in ("src", "stages", "tools", "benchmarks") for path in (ROOT / folder).rglob("*.py")]
MOST_LINES, MOST_OF_A_FUNCTION = 250, 40


def test_a_package_imports_only_packages_below_it():
    """The order is that of the layers in pyproject.toml, which names every package."""
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as run; run()"]
    done = subprocess.run([*command, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (contract,) = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    assert sorted(contract["layers"]) == sorted(["__main__", *(package.name for package in PACKAGES)])


def test_every_package_has_its_line_in_the_readme():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    listed = re.findall(r"^  (\w+)/ +\S", text.partition("src/realwaste/")[2], flags=re.MULTILINE)
    assert sorted(listed) == sorted(package.name for package in PACKAGES)
    assert len(PACKAGES) <= 13


def _says_why(node: ast.Module | ast.FunctionDef) -> bool:
    return (ast.get_docstring(node) or "").startswith("Long")


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_and_functions_are_short_or_begin_with_the_reason(path):
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    assert text.count("\n") <= MOST_LINES or _says_why(tree)
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    long = {one.name: (one.end_lineno or 0) - one.lineno + 1 for one in functions if not _says_why(one)}
    assert {name: lines for name, lines in long.items() if lines > MOST_OF_A_FUNCTION} == {}
