"""Static checks: imports between packages, lengths of files and functions, and no execution of loaded data."""

import ast
import functools
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from benchmarks.parts.child import ROOT

PACKAGES = [path.parent for path in (ROOT / "src/realwaste").glob("*/__init__.py")]
FILES = [path for folder in ("src", "stages", "tools", "benchmarks") for path in (ROOT / folder).rglob("*.py")]
MAX_FILE_LINES, MAX_FUNCTION_LINES = 250, 40


@functools.cache
def _parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def test_a_package_imports_only_packages_below_it():
    """The layers in pyproject.toml define the order, and must include every package."""
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as run; run()"]
    result = subprocess.run([*command, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    (contract,) = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    assert sorted(contract["layers"]) == sorted(["__main__", *(package.name for package in PACKAGES)])


def test_the_readme_lists_every_package():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    listed_packages = re.findall(r"^  (\w+)/ +\S", text.partition("src/realwaste/")[2], flags=re.MULTILINE)
    assert sorted(listed_packages) == sorted(package.name for package in PACKAGES)
    assert len(PACKAGES) <= 13


def _gives_reason_for_length(node: ast.Module | ast.FunctionDef) -> bool:
    return (ast.get_docstring(node) or "").startswith("Long")


def _find_long_parts(path: Path) -> dict[str, int]:
    """The lines of the file and of each of its functions, if there are too many and no reason."""
    tree, lines = _parse(path), path.read_text(encoding="utf-8").count("\n")
    name = str(path.relative_to(ROOT))
    parts = {} if lines <= MAX_FILE_LINES or _gives_reason_for_length(tree) else {name: lines}
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and not _gives_reason_for_length(node):
            lines = (node.end_lineno or 0) - node.lineno + 1
            parts |= {f"{name}: {node.name}": lines} if lines > MAX_FUNCTION_LINES else {}
    return parts


def test_files_and_functions_are_short_or_their_docstring_gives_the_reason():
    long_parts: dict[str, int] = {}
    for path in FILES:
        long_parts |= _find_long_parts(path)
    assert long_parts == {}


@functools.cache
def _all_calls() -> list[tuple[str, str, ast.Call]]:
    """Every call in the code: the file name, the dotted name of the function, and the call."""
    nodes = ((path.name, node) for path in FILES for node in ast.walk(_parse(path)))
    return [(file, ast.unparse(node.func), node) for file, node in nodes if isinstance(node, ast.Call)]


def _find_calls(name: str) -> list[ast.Call]:
    return [call for _, function, call in _all_calls() if function.endswith(name)]


def _read_keyword_argument(call: ast.Call, name: str) -> object:
    return next((ast.literal_eval(keyword.value) for keyword in call.keywords if keyword.arg == name), None)


def test_pickle_is_neither_imported_nor_loaded():
    for path in FILES:
        for node in ast.walk(_parse(path)):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            forbidden = {"cloudpickle", "dill", "joblib", "shelve", "marshal"}
            if path.name != "torch_checkpoint.py":  # its unpickler accepts only tensors (test_efficientnet_lite.py)
                forbidden.add("pickle")
            assert not forbidden & set(names), path
    assert (load_calls := _find_calls("np.load"))
    assert all(_read_keyword_argument(call, "allow_pickle") is False for call in load_calls)


def test_models_are_loaded_in_safe_mode():
    assert (load_calls := _find_calls("load_model"))
    assert all(_read_keyword_argument(call, "safe_mode") is True for call in load_calls)


@pytest.mark.parametrize("name", ["eval", "exec", "os.system"])
def test_no_code_calls_eval_exec_or_os_system(name):
    assert [file for file, function, _ in _all_calls() if function == name] == []


def test_development_requirements_contain_every_runtime_pin():
    runtime_pins, development_pins = (
        set(re.findall(r"^[a-z0-9._-]+==\S+", (ROOT / name).read_text(encoding="utf-8"), re.MULTILINE))
        for name in ("requirements.txt", "requirements-dev.txt")
    )
    assert runtime_pins
    assert runtime_pins <= development_pins
