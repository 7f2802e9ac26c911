"""Runs docs/explore.ipynb without Jupyter: all cells share one namespace, as in a kernel."""

import ast
import json
from typing import Any

from benchmarks.parts.child import ROOT

NOTEBOOK = ROOT / "docs/explore.ipynb"


def cells() -> list[dict[str, Any]]:
    return json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]


def executed() -> tuple[dict[str, Any], list[Any]]:
    """Run the notebook in the current folder. Returns its variables and the outputs of the cells.

    The output of a cell is the value of its last expression. There is no kernel: Jupyter would add thirty packages.
    """
    namespace: dict[str, Any] = {}
    outputs = []
    for cell in cells():
        if cell["cell_type"] != "code":
            continue
        statements = ast.parse("".join(cell["source"])).body
        last_expression = statements.pop() if isinstance(statements[-1], ast.Expr) else None
        exec(compile(ast.Module(statements, []), str(NOTEBOOK), "exec"), namespace)  # noqa: S102 - our notebook
        if isinstance(last_expression, ast.Expr):
            code = compile(ast.Expression(last_expression.value), str(NOTEBOOK), "eval")
            outputs.append(eval(code, namespace))  # noqa: S307
    return namespace, outputs
