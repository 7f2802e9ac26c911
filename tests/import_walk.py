"""Which files of this repository a stage imports, found in the syntax trees."""

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def imported_by(module: str) -> set[str]:
    """Files of `stages` and `realwaste` that importing `module` runs, itself included; relative to the root.

    Imports under TYPE_CHECKING run nothing and do not count.
    """
    found: dict[str, Path] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        path = _file(name)
        if path is None or name in found:
            continue
        found[name] = path
        waiting += [parent for parent in (name.rpartition(".")[0],) if parent]
        waiting += _imports(ast.parse(path.read_text(encoding="utf-8")))
    return {path.relative_to(ROOT).as_posix() for path in found.values()}


def _file(module: str) -> Path | None:
    parts = module.split(".")
    base = {"realwaste": ROOT / "src", "stages": ROOT}.get(parts[0])
    if base is None:
        return None
    place = base.joinpath(*parts)
    return next((path for path in (place.with_suffix(".py"), place / "__init__.py") if path.is_file()), None)


def _imports(tree: ast.AST) -> list[str]:
    names: list[str] = []
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        names += _imports(node)
    return names
