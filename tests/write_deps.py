"""`make deps`: the modules that each stage imports, into its `deps` in dvc.yaml in place of those that stand there.

Comments, order and every other entry stay. tests/test_pipeline.py fails where this has been forgotten.
"""

import re
import sys

import yaml
from import_walk import ROOT, imported_by

PIPELINE = ROOT / "dvc.yaml"
_STAGE = re.compile(r"  (\w+):$")
_ENTRY = "      - "


def rewritten(text: str) -> str:
    """The text of a dvc.yaml with the modules of each stage's `deps` put right.

    Raises:
        ValueError: a stage without `deps`.
    """
    stages = yaml.safe_load(text)["stages"]
    if without := [name for name, stage in stages.items() if "deps" not in stage]:
        raise ValueError(f"give {', '.join(without)} a list of deps, if only stages/NAME.py")
    lines: list[str] = []
    stage, modules, inside = "", list[str](), False
    for line in text.splitlines():
        named = _STAGE.match(line)
        if named and named[1] in stages:
            stage = named[1]
        if inside and not line.startswith(_ENTRY):
            lines += modules
            inside = False
        if line == "    deps:":
            inside = True
            found = sorted(path for path in imported_by(f"stages.{stage}") if not path.endswith("__init__.py"))
            modules = [_ENTRY + path for path in found]
        if not (inside and line.startswith(_ENTRY) and line.endswith(".py")):
            lines.append(line)
    return "\n".join([*lines, *(modules if inside else [])]) + "\n"


def main() -> None:
    before = PIPELINE.read_text(encoding="utf-8")
    after = rewritten(before)
    if after != before:
        PIPELINE.write_text(after, encoding="utf-8")
    sys.stdout.write(f"dvc.yaml: {'as it was' if after == before else 'written'}\n")


if __name__ == "__main__":
    main()
