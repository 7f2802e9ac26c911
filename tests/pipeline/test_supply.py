"""What people load cannot run code: read off the syntax trees of the package, stages, tools and benchmarks."""

import ast
import re
from collections.abc import Iterator

import pytest

from benchmarks.parts.child import ROOT

FILES = sorted(path for folder in ("src", "stages", "tools", "benchmarks") for path in (ROOT / folder).rglob("*.py"))


def _calls(name: str) -> Iterator[tuple[str, ast.Call]]:
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(name):
                yield path.name, node


def _argument(call: ast.Call, name: str) -> object:
    return next((ast.literal_eval(word.value) for word in call.keywords if word.arg == name), None)


def test_no_pickle_is_loaded():
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            # torch_checkpoint has an unpickler that refuses all but tensors (test_efficientnet_lite.py).
            refused = {"cloudpickle", "dill", "joblib", "shelve", "marshal"}
            assert not ((refused if path.name == "torch_checkpoint.py" else refused | {"pickle"}) & set(names)), path
    loads = [call for _, call in _calls("np.load")]
    assert loads
    assert all(_argument(call, "allow_pickle") is False for call in loads)


def test_models_are_loaded_in_safe_mode():
    loads = [call for _, call in _calls("load_model")]
    assert loads
    assert all(_argument(call, "safe_mode") is True for call in loads)


@pytest.mark.parametrize("name", ["eval", "exec", "os.system"])
def test_no_text_is_run(name):
    assert [where for where, call in _calls(name) if ast.unparse(call.func) == name] == []


def test_what_developers_add_changes_no_pin_of_a_run():
    runs, developers = (
        set(re.findall(r"^[a-z0-9._-]+==\S+", (ROOT / name).read_text(encoding="utf-8"), re.MULTILINE))
        for name in ("requirements.txt", "requirements-dev.txt")
    )
    assert runs
    assert runs <= developers
