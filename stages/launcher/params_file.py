"""Reads and checks params.yaml; gives each stage the part that dvc.yaml declares for it."""

import difflib
import re
from pathlib import Path
from typing import Any, ClassVar

import yaml
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from realwaste.core.errors import UserError
from stages.launcher import combinations, dependencies
from stages.launcher.params import Params

PARAMS = Path("params.yaml")
PIPELINE = Path("dvc.yaml")
# Old names of parameters, for existing params.yaml files.
_RENAMED = {"shortcuts.asked": "shortcuts.val_fraction"}
# Parameters that were null in existing params.yaml files, with their present defaults.
_DEFAULTS_FOR_NULL = {"finetune_edge.backbone": "EfficientNetLite0", "shortcuts.backbone": "auto"}
_STAGE = re.compile(rf"-m stages ([a-z]\w*(?: (?:[a-z]\w*|{re.escape(dependencies.SLOT)}))?)")


class _Yaml12Loader(dependencies.SAFE_LOADER):  # type: ignore[misc]
    """Reads numbers and booleans by YAML 1.2, as DVC does, and refuses duplicate keys, of which PyYAML takes the last.

    By YAML 1.1, PyYAML reads `1e-4`, which DVC writes after `-S …=1e-4`, as text, `010` as 8, and `yes` as true.
    ruamel.yaml, which DVC uses, takes up to a second to import, in each stage.
    """

    yaml_implicit_resolvers: ClassVar[dict[str, list[Any]]] = {}

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in keys:
                raise yaml.constructor.ConstructorError(None, None, f"duplicate key {key.value}", key.start_mark)
            keys.add(str(key.value))
        return super().construct_mapping(node, deep)


for _type, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?(0|[1-9]\d*)", list("-+0123456789")),
    (
        "float",
        r"[-+]?((\d+\.\d*|\.\d+)([eE][-+]?\d+)?|\d+[eE][-+]?\d+|\.(inf|Inf|INF))|\.(nan|NaN|NAN)",
        list("-+.0123456789"),
    ),
    ("merge", r"<<", ["<"]),
):
    _Yaml12Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_type}", re.compile(f"^({_pattern})$"), _first)


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
        raise UserError(f"{path} must be valid YAML.", "Correct the line that the message names.", problem) from error


def read_stages(pipeline: Path = PIPELINE) -> dict[str, Any]:
    """dependencies.expand_matrix of dvc.yaml; errors as in `read_yaml`."""
    return dependencies.expand_matrix(read_yaml(pipeline)["stages"])


def stage_of(command: str | list[str]) -> str:
    """The words after `python -m stages` in a stage's cmd, with or without a wrapper before it: `embed irv2`.

    Raises:
        UserError: the command starts no stage.
    """
    text = command if isinstance(command, str) else "; ".join(command)
    if (match := _STAGE.search(text)) is None:
        raise UserError("The cmd of a stage in dvc.yaml must contain: python -m stages NAME.", "Correct it.", command)
    return match[1]


def load(stage: str, params: Path = PARAMS, pipeline: Path = PIPELINE) -> Params:
    """The parameters in the `params` list of `stage` in dvc.yaml, after the whole of params.yaml has been checked.

    Reading a key that the stage does not declare raises AttributeError: DVC would not rerun the stage for it.

    Raises:
        UserError: an unknown key, a wrong type, an impossible value or combination, or something that this machine
            lacks. The message names key, rule and value.
    """
    all_params = check(read_yaml(params))
    combinations.check_environment(all_params)
    declared = read_stages(pipeline)[stage].get("params", [])
    return _select_declared(all_params, [tuple(key.split(".")) for key in declared])


def check(values: object) -> Params:
    if not isinstance(values, dict):
        rule = f"params.yaml must hold the sections {', '.join(Params.model_fields)}."
        raise UserError(rule, "Bring it back: git restore params.yaml", values or "an empty file")
    try:
        params = Params.model_validate(values)
    except ValidationError as error:
        problems = error.errors()
        if any(problem["type"] == "extra_forbidden" for problem in problems):
            # A misspelt key is two problems, unknown and missing. The message about the unknown one has the remedy.
            problems = [problem for problem in problems if problem["type"] != "missing"]
        first, more = problems[0], len({_key(problem, values) for problem in problems}) - 1
        raise _to_user_error(first, _key(first, values), f" ({more} more after this one.)" if more else "") from None
    combinations.check(params)
    return params


def _select_declared(model: Any, paths: list[tuple[str, ...]]) -> Any:
    values: dict[str, Any] = {}
    for name in {path[0] for path in paths}:
        value, deeper = getattr(model, name), [path[1:] for path in paths if path[0] == name]
        values[name] = value if () in deeper else _select_declared(value, deeper)
    return type(model).model_construct(**values)


def _key(problem: ErrorDetails, values: Any) -> str:
    """The key as in params.yaml. For a union, pydantic adds the name of the type that it tried."""
    place, key = values, list[str]()
    for part in problem["loc"]:
        if isinstance(place, (dict, list)):
            key.append(str(part))
            place = place.get(part) if isinstance(place, dict) else place[int(part)]
    return ".".join(key)


def _to_user_error(problem: ErrorDetails, key: str, more: str) -> UserError:
    kind, received = problem["type"], problem["input"]
    if kind == "extra_forbidden":
        if key in _RENAMED:
            return UserError(f"params.yaml: {key} is now called {_RENAMED[key]}.{more}", "Rename it; keep its value.")
        names = _sibling_keys(problem["loc"])
        close = difflib.get_close_matches(str(problem["loc"][-1]), names, n=1, cutoff=0.5)
        hint = f"Did you mean {close[0]}?" if close else f"There are: {', '.join(names)}."
        return UserError(f"params.yaml: {key} is not a parameter.{more}", hint)
    if received is None and key in _DEFAULTS_FOR_NULL:
        rule = f'params.yaml: {key} must name a backbone: null, which was "off", is no longer possible.{more}'
        return UserError(rule, f"Set the default: -S {key}={_DEFAULTS_FOR_NULL[key]}")
    if kind == "missing":
        return UserError(f"params.yaml: {key} is missing.{more}", "Add it; the committed params.yaml has its default.")
    rule = problem["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    return UserError(f"params.yaml: {key} must be valid: {rule}.{more}", f"Set it with -S {key}=…", received)


def _sibling_keys(loc: tuple[int | str, ...]) -> list[str]:
    model: Any = Params
    for part in loc[:-1]:
        model = model.model_fields[part].annotation
    return sorted(model.model_fields)
