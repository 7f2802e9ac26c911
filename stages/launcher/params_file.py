"""params.yaml, checked as a whole and handed to a stage in the part that dvc.yaml declares for it."""

import difflib
import re
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from realwaste.core.errors import UserError
from stages.launcher import combinations
from stages.launcher.params import Params

PARAMS = Path("params.yaml")
PIPELINE = Path("dvc.yaml")
_STAGE = re.compile(r"-m stages ([a-z]\w*(?: [a-z]\w*)?)")


class _Yaml12Loader(yaml.SafeLoader):
    """Refuses a key that stands twice, of which PyYAML takes the last without a word.

    It reads `1e-4` as a number, as DVC does, which writes it so after `-S …=1e-4`; to PyYAML that is text.
    """

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                raise yaml.constructor.ConstructorError(None, None, f"{key.value} stands twice", key.start_mark)
            seen.add(str(key.value))
        return super().construct_mapping(node, deep)


_Yaml12Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)


def read_yaml(path: Path) -> Any:
    try:
        # A SafeLoader: it builds plain values only.
        return yaml.load(path.read_text(encoding="utf-8"), Loader=_Yaml12Loader)  # noqa: S506
    except OSError as error:
        raise UserError(
            f"{path} must be readable.", "Run from the folder that holds dvc.yaml.", error.strerror
        ) from error
    except yaml.YAMLError as error:
        problem = " ".join(str(error).split())
        raise UserError(f"{path} must be YAML.", "Mend the line that the message names.", problem) from error


def stage_of(command: str | list[str]) -> str:
    """What follows `python -m stages` in a stage's cmd, whatever wrapper stands before it: `embed irv2`.

    Raises:
        UserError: the command starts no stage.
    """
    text = command if isinstance(command, str) else "; ".join(command)
    if (found := _STAGE.search(text)) is None:
        raise UserError("A stage's cmd in dvc.yaml must hold: python -m stages NAME.", "Mend it.", command)
    return found[1]


def load(stage: str, params: Path = PARAMS, pipeline: Path = PIPELINE) -> Params:
    """What dvc.yaml's `params` list of `stage` names, after the whole of params.yaml has passed.

    Reading a key that the stage does not declare is an AttributeError: DVC would not rerun the stage for it.

    Raises:
        UserError: for an unknown key, a wrong type, an impossible value or combination, naming key, rule and what was
            received; for what this machine lacks.
    """
    whole = check(read_yaml(params))
    combinations.check_here(whole)
    declared = read_yaml(pipeline)["stages"][stage].get("params", [])
    return _only(whole, [tuple(key.split(".")) for key in declared])


def check(values: object) -> Params:
    if not isinstance(values, dict):
        rule = f"params.yaml must hold the sections {', '.join(Params.model_fields)}."
        raise UserError(rule, "Bring it back: git restore params.yaml", values or "an empty file")
    try:
        params = Params.model_validate(values)
    except ValidationError as error:
        problems = error.errors()
        if any(problem["type"] == "extra_forbidden" for problem in problems):
            # A misspelt key gives two problems, unknown and missing; the unknown one carries the remedy.
            problems = [problem for problem in problems if problem["type"] != "missing"]
        first, more = problems[0], len({_key(problem, values) for problem in problems}) - 1
        raise _explained(first, _key(first, values), f" ({more} more after this one.)" if more else "") from None
    combinations.check(params)
    return params


def _only(model: Any, paths: list[tuple[str, ...]]) -> Any:
    kept: dict[str, Any] = {}
    for name in {path[0] for path in paths}:
        value, deeper = getattr(model, name), [path[1:] for path in paths if path[0] == name]
        kept[name] = value if () in deeper else _only(value, deeper)
    return type(model).model_construct(**kept)


def _key(problem: ErrorDetails, values: Any) -> str:
    """As in params.yaml; pydantic adds to it which type of several a value was held against."""
    place, key = values, list[str]()
    for part in problem["loc"]:
        if isinstance(place, (dict, list)):
            key.append(str(part))
            place = place.get(part) if isinstance(place, dict) else place[int(part)]
    return ".".join(key)


def _explained(problem: ErrorDetails, key: str, more: str) -> UserError:
    kind, received = problem["type"], problem["input"]
    if kind == "extra_forbidden":
        known = _keys_beside(problem["loc"])
        close = difflib.get_close_matches(str(problem["loc"][-1]), known, n=1, cutoff=0.5)
        hint = f"Did you mean {close[0]}?" if close else f"Known here: {', '.join(known)}."
        return UserError(f"params.yaml: {key} is no known parameter.{more}", hint)
    if kind == "missing":
        return UserError(f"params.yaml: {key} is missing.{more}", "Add it; the committed params.yaml has its default.")
    rule = problem["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    return UserError(f"params.yaml: {key} must be right: {rule}.{more}", f"Set it with -S {key}=…", received)


def _keys_beside(loc: tuple[int | str, ...]) -> list[str]:
    model: Any = Params
    for part in loc[:-1]:
        model = model.model_fields[part].annotation
    return sorted(model.model_fields)
