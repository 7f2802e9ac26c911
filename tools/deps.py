"""`make deps`: the code that each stage imports, into its `deps` in dvc.yaml in place of the code that stands there.

A room of the package is named as a folder where a stage uses three files of it or more, or all of it; where it uses
one or two of several, those files. A stage's own file follows; what starts a stage is none of it (stages/launcher).
Comments, order and every other entry stay. tests/test_pipeline.py fails where this has been forgotten.
"""

import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import grimp
import yaml

ROOT = Path(__file__).resolve().parent.parent
# As in stages/__main__.py: each checkout reads its own code.
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from stages.launcher.params_file import stage_of  # noqa: E402 - from the checkout

PIPELINE = ROOT / "dvc.yaml"
LAUNCHER = "stages/launcher/"
FEW = 2
_STAGE = re.compile(r"  (\w+):$")
_ENTRY = "      - "


def imported_by(module: str) -> set[str]:
    """Files of the package and of stages/ that `module` imports, at once or when a function is called; itself too.

    What stands under TYPE_CHECKING is not imported. The launcher, and what every import runs, which holds no code
    (`__init__.py`), are left out.
    """
    graph = grimp.build_graph("realwaste", "stages", exclude_type_checking_imports=True, cache_dir=None)
    return set(_files({module} | graph.find_upstream_modules(module)))


def _files(modules: set[str]) -> Iterator[str]:
    for module in modules:
        path = f"{module.replace('.', '/')}.py"
        path = f"src/{path}" if module.startswith("realwaste.") else path
        if (ROOT / path).is_file() and not path.startswith(LAUNCHER):
            yield path


def code_of(command: str) -> list[str]:
    """The `deps` on code of a stage, by its `cmd`, which holds `python -m stages NAME`."""
    rooms: dict[str, set[str]] = defaultdict(set)
    own = []
    for path in sorted(imported_by(f"stages.{stage_of(command).split()[0]}")):
        if path.startswith("src/"):
            rooms[path.rpartition("/")[0]].add(path)
        else:
            own.append(path)
    for room, used in sorted(rooms.items(), reverse=True):
        own[:0] = [room] if _whole(room, used) else sorted(used)
    return own


def _whole(room: str, used: set[str]) -> bool:
    others = [path for path in (ROOT / room).glob("*.py") if path.name != "__init__.py"]
    return len(used) > FEW or len(used) == len(others)


def rewritten(text: str) -> str:
    """The text of a dvc.yaml with the code in each stage's `deps` put right.

    Raises:
        ValueError: a stage without `deps`.
    """
    stages = yaml.safe_load(text)["stages"]
    if without := [name for name, stage in stages.items() if "deps" not in stage]:
        raise ValueError(f"give {', '.join(without)} a list of deps, if only stages/NAME.py")
    lines: list[str] = []
    stage, code, inside = "", list[str](), False
    for line in text.splitlines():
        named = _STAGE.match(line)
        if named and named[1] in stages:
            stage = named[1]
        if inside and not line.startswith(_ENTRY):
            lines += code
            inside = False
        if line == "    deps:":
            inside = True
            code = [_ENTRY + path for path in code_of(stages[stage]["cmd"])]
        if not (inside and line.startswith((_ENTRY + "src/", _ENTRY + "stages/"))):
            lines.append(line)
    return "\n".join([*lines, *(code if inside else [])]) + "\n"


def main() -> None:
    before = PIPELINE.read_text(encoding="utf-8")
    after = rewritten(before)
    if after != before:
        PIPELINE.write_text(after, encoding="utf-8")
    sys.stdout.write(f"dvc.yaml: {'as it was' if after == before else 'written'}\n")


if __name__ == "__main__":
    main()
