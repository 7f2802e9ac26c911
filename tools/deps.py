"""`make deps`: write each stage's `deps` on code and its `params` into dvc.yaml.

DVC does not follow imports, so a stage must name every file that it imports. This tool lists them: a package as a
folder if the stage uses all of its files, otherwise file by file. A changed file reruns only the stages that use it.
`params` come from the constant PARAMS of the stage's file. Everything else in dvc.yaml stays as it is.
tests/pipeline/test_pipeline.py fails if `make deps` was forgotten.
"""

import ast
import json
import re
import sys
import textwrap
from collections import defaultdict
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import grimp
import yaml

ROOT = Path(__file__).resolve().parent.parent
# As in stages/__main__.py: each checkout reads its own code.
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from realwaste.models.registry import BACKBONES  # noqa: E402 - from the checkout
from stages.launcher.params_file import stage_of  # noqa: E402 - from the checkout

PIPELINE = ROOT / "dvc.yaml"
LAUNCHER = "stages/launcher/"
# Files that word what a run prints; they cannot change a result.
NO_EFFECT = {f"src/realwaste/core/{name}.py" for name in ("errors", "log", "terminal")}
# Files that a module reads from its package.
DATA = {
    "src/realwaste/core/library_settings.py": "src/realwaste/core/keras_home",
    "src/realwaste/report/pages.py": "src/realwaste/report/templates",
    "src/realwaste/sources/realwaste_files.py": "src/realwaste/sources/realwaste_files.bin",
}
WIDTH = 120
_STAGE = re.compile(r"  (\w+):$")
_KEY = re.compile(r"    (\w+):")


@cache
def _import_graph() -> grimp.ImportGraph:
    return grimp.build_graph("realwaste", "stages", exclude_type_checking_imports=True, cache_dir=None)


def imported_by(module: str) -> set[str]:
    """Files of the package and of stages/ that `module` imports, directly or indirectly; itself too.

    What the package itself runs at import is among them. Imports under TYPE_CHECKING, `__init__.py`, the launcher and
    NO_EFFECT are left out.
    """
    graph = _import_graph()
    modules = {module} | graph.find_upstream_modules(module) | graph.find_upstream_modules("realwaste")
    paths = {f"{'src/' if name.startswith('realwaste.') else ''}{name.replace('.', '/')}.py" for name in modules}
    return {path for path in paths - NO_EFFECT if (ROOT / path).is_file() and not path.startswith(LAUNCHER)}


def code_deps(module: str) -> list[str]:
    """The `deps` on code of a stage, sorted: folders of packages that it uses completely, and single files."""
    packages: dict[str, set[str]] = defaultdict(set)
    for path in imported_by(module):
        packages[path.rpartition("/")[0]].add(path)
    deps: list[str] = []
    for package, used in packages.items():
        files = {str(path.relative_to(ROOT)) for path in (ROOT / package).glob("*.py") if path.name != "__init__.py"}
        deps += [package] if used == files else [*used, *(DATA[path] for path in used & DATA.keys())]
    return sorted(deps)


def declared_params(module: str, slots: Iterable[str]) -> list[str] | None:
    """The constant PARAMS of a stage's file, with `{slot}` replaced by each slot; None if the file has none."""
    path = ROOT / f"{module.replace('.', '/')}.py"
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "PARAMS":
            names = [name.format(slot=slot) for name in ast.literal_eval(node.value) for slot in slots]
            return list(dict.fromkeys(names))
    return None


def rewrite(text: str) -> str:
    """The text of a dvc.yaml with each stage's `deps` and `params` brought up to date.

    Raises:
        ValueError: a stage has no `deps`.
    """
    stages = yaml.safe_load(text)["stages"]
    if missing := [name for name, stage in stages.items() if "deps" not in stage]:
        raise ValueError(f"give {', '.join(missing)} a list of deps, for example [stages/NAME.py]")
    lines: list[str] = []
    generated: dict[str, list[str]] = {}
    skipping = False
    for line in text.splitlines():
        if (header := _STAGE.match(line)) and header[1] in stages:
            generated = _entries(stages[header[1]])
        key = _KEY.match(line)
        if key or not line.startswith("    ") or line.startswith("    #"):
            skipping = bool(key and key[1] in generated)
            if skipping and key:
                lines += _wrap(key[1], generated.pop(key[1]))
        if not skipping:
            lines.append(line)
    return "\n".join(lines) + "\n"


def _entries(stage: dict[str, Any]) -> dict[str, list[str]]:
    name, *slot = stage_of(stage["cmd"]).split()
    module = f"stages.{name}"
    data = [dep for dep in stage["deps"] if not dep.startswith(("src/", "stages/"))]
    entries = {"deps": data + code_deps(module)}
    params = declared_params(module, slot or BACKBONES)
    return entries if params is None else entries | {"params": params}


def _wrap(key: str, values: list[str]) -> list[str]:
    # DVC's ${…} must be quoted in a list.
    text = f"[{', '.join(json.dumps(value) if '{' in value else value for value in values)}]"
    if len(f"    {key}: {text}") <= WIDTH:
        return [f"    {key}: {text}"]
    body = textwrap.wrap(text, WIDTH, initial_indent="      ", subsequent_indent="       ", break_on_hyphens=False)
    return [f"    {key}:", *body]


def main() -> None:
    before = PIPELINE.read_text(encoding="utf-8")
    after = rewrite(before)
    if after != before:
        PIPELINE.write_text(after, encoding="utf-8")
    sys.stdout.write(f"dvc.yaml: {'unchanged' if after == before else 'written'}\n")


if __name__ == "__main__":
    main()
