"""docs/explore.ipynb as code: its cells in one namespace, as a kernel runs them."""

import ast
import json
from typing import Any

from benchmarks.parts.child import ROOT

NOTEBOOK = ROOT / "docs/explore.ipynb"


def cells() -> list[dict[str, Any]]:
    return json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]


def executed() -> tuple[dict[str, Any], list[Any]]:
    """The names after the last cell, and what each cell shows: its last expression; run in the present folder.

    Plain Python rather than a kernel: Jupyter would be thirty packages for this file.
    """
    names: dict[str, Any] = {}
    shown = []
    for cell in cells():
        if cell["cell_type"] != "code":
            continue
        body = ast.parse("".join(cell["source"])).body
        last = body.pop() if isinstance(body[-1], ast.Expr) else None
        exec(compile(ast.Module(body, []), str(NOTEBOOK), "exec"), names)  # noqa: S102 - our own
        if isinstance(last, ast.Expr):
            shown.append(eval(compile(ast.Expression(last.value), str(NOTEBOOK), "eval"), names))  # noqa: S307
    return names, shown
