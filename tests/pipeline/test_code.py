"""Read off the code: which package imports which, how long files are, and that what people load cannot run code."""

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
MOST_LINES, MOST_OF_A_FUNCTION = 250, 40


@functools.cache
def _parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


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
    tree = _parse(path)
    assert path.read_text(encoding="utf-8").count("\n") <= MOST_LINES or _says_why(tree)
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    long = {one.name: (one.end_lineno or 0) - one.lineno + 1 for one in functions if not _says_why(one)}
    assert {name: lines for name, lines in long.items() if lines > MOST_OF_A_FUNCTION} == {}


@functools.cache
def _all_calls() -> list[tuple[str, str, ast.Call]]:
    """Every call: its file, the function's name with its dots, and the call."""
    nodes = ((path.name, node) for path in FILES for node in ast.walk(_parse(path)))
    return [(file, ast.unparse(node.func), node) for file, node in nodes if isinstance(node, ast.Call)]


def _calls(name: str) -> list[ast.Call]:
    return [call for _, function, call in _all_calls() if function.endswith(name)]


def _argument(call: ast.Call, name: str) -> object:
    return next((ast.literal_eval(word.value) for word in call.keywords if word.arg == name), None)


def test_no_pickle_is_loaded():
    for path in FILES:
        for node in ast.walk(_parse(path)):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            # torch_checkpoint has an unpickler that refuses all but tensors (test_efficientnet_lite.py).
            refused = {"cloudpickle", "dill", "joblib", "shelve", "marshal"}
            assert not ((refused if path.name == "torch_checkpoint.py" else refused | {"pickle"}) & set(names)), path
    assert (loads := _calls("np.load"))
    assert all(_argument(call, "allow_pickle") is False for call in loads)


def test_models_are_loaded_in_safe_mode():
    assert (loads := _calls("load_model"))
    assert all(_argument(call, "safe_mode") is True for call in loads)


@pytest.mark.parametrize("name", ["eval", "exec", "os.system"])
def test_no_text_is_run(name):
    assert [file for file, function, _ in _all_calls() if function == name] == []


def test_what_developers_add_changes_no_pin_of_a_run():
    runs, developers = (
        set(re.findall(r"^[a-z0-9._-]+==\S+", (ROOT / name).read_text(encoding="utf-8"), re.MULTILINE))
        for name in ("requirements.txt", "requirements-dev.txt")
    )
    assert runs
    assert runs <= developers
