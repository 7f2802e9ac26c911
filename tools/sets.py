"""`python -m tools.sets NAME`: a named set of sets.yaml as options of `dvc exp run`; without a NAME, what there is.

dvc exp run $(python -m tools.sets quick) -S train_cnn.epochs=3
"""

import difflib
import json
import sys
from pathlib import Path
from typing import Annotated

# As in stages/__main__.py: each checkout runs its own code.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))

from pydantic import Field, TypeAdapter, ValidationError

from realwaste.core import log
from realwaste.core.errors import UserError
from stages.launcher.params import Section, Text
from stages.launcher.params_file import read_yaml

SETS = Path("sets.yaml")
# Without spaces, which the shell would split at. DVC reads a list with commas alone.
Value = bool | int | float | Annotated[str, Field(pattern=r"^\S+$")] | list[int | float]


class Set(Section):
    """about: one line on what the set is for; params: values for keys of params.yaml, such as train_cnn.epochs."""

    about: Text
    params: Annotated[dict[str, Value], Field(min_length=1)]


def main(names: list[str]) -> int:
    log.setup()
    try:
        sets = load()
        if names:
            sys.stdout.write(options(sets, names[0]) + "\n")
        else:
            width = max(map(len, sets))
            sys.stdout.writelines(f"{name:{width}}  {one.about}\n" for name, one in sets.items())
    except UserError as error:
        log.logger.error("%s", error)
        if names:
            # Else `dvc exp run $(…)` would go on without any option; DVC refuses this one.
            sys.stdout.write("--unknown-set\n")
        return 1
    return 0


def load(path: Path = SETS) -> dict[str, Set]:
    """The sets by name.

    Raises:
        UserError: no readable file, or one that is no table of sets.
    """
    values = read_yaml(path)
    try:
        return TypeAdapter(dict[str, Set]).validate_python(values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise UserError(
            f"{path}: {where} must be valid: {first['msg']}.", "Write each set as the others are.", first["input"]
        ) from None


def options(sets: dict[str, Set], name: str) -> str:
    """`-S key=value …` for one set.

    Raises:
        UserError: no set of that name.
    """
    if name not in sets:
        close = difflib.get_close_matches(name, sets, n=1)
        hint = f"Did you mean {close[0]}?" if close else f"There are {', '.join(sets)}."
        raise UserError(f"{SETS} must have the set.", hint, name)
    return " ".join(f"-S {key}={_written(value)}" for key, value in sets[name].params.items())


def _written(value: Value) -> str:
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
