"""params.yaml, checked as a whole and handed to a stage in the part that dvc.yaml declares for it.

The models have no defaults and convert nothing: a value reaches a stage as params.yaml has it, or the run is refused.
That is why this module is no `deps` entry of any stage: it can stop a result, never change one.
"""

import difflib
import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from realwaste.errors import UserError

PARAMS = Path("params.yaml")
PIPELINE = Path("dvc.yaml")


def _each_once(values: list[Any]) -> list[Any]:
    if len(set(values)) < len(values):
        raise ValueError("each value must stand once")
    return values


# Far beyond what anybody waits for, or fits in memory: a digit too many is refused, not begun.
Count = Annotated[int, Field(ge=1, le=100_000)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]
Rate = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Ratio = Annotated[float, Field(gt=0, lt=1)]
Share = Annotated[float, Field(ge=0, lt=1)]
ImageSize = Annotated[int, Field(ge=16, le=4096)]
Cache = Literal["memory", "disk", "none"]
Decay = Literal["constant", "cosine"]
Flips = Literal["none", "horizontal", "both"]
Text = Annotated[str, Field(min_length=1)]


class Section(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class Base(Section):
    seed: Seed
    seeds: Annotated[list[Seed], Field(max_length=100), AfterValidator(_each_once)]
    deterministic: bool
    precision: Literal["auto", "float32", "mixed_bfloat16", "mixed_float16"]
    engine: Literal["local", "ray"]


class Fetch(Section):
    source: Text
    sha256: Annotated[str, Field(pattern="^[0-9a-fA-F]{64}$")] | None
    synthetic_images_per_class: Annotated[Count, Field(ge=5)]


class ValidateImages(Section):
    on_reject: Literal["fail", "drop"]


class Split(Section):
    strategy: Literal["stratified", "grouped"]
    block: Annotated[Count, Field(ge=2)]
    train: Ratio
    val: Ratio
    test: Ratio

    @model_validator(mode="after")
    def _sum_to_one(self) -> Self:
        total = self.train + self.val + self.test
        if abs(total - 1) > 1e-9:
            raise ValueError(f"train, val and test must sum to 1, and sum to {total:.10g}")
        return self


class Augment(Section):
    flip: bool
    rotate: Annotated[float, Field(ge=0, le=0.5)]
    zoom: Share
    color: Share


class TrainCnn(Section):
    image_size: ImageSize
    batch_size: Count
    epochs: Count
    learning_rate: Rate
    batch_norm_momentum: Ratio
    shuffle: bool
    head: Literal["flatten", "gap"]
    augment: Augment
    dropout: Share
    weight_decay: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    label_smoothing: Share
    class_weights: bool
    decay: Decay
    patience: Count | None
    test_flips: Flips
    cache: Cache


class LrSweep(Section):
    learning_rates: Annotated[list[Rate], Field(min_length=1), AfterValidator(_each_once)]
    epochs: Count
    image_size: ImageSize
    batch_size: Count
    batch_norm_momentum: Ratio
    shuffle: bool
    cache: Cache
    prune: bool


class Unfrozen(Section):
    epochs: Count
    batch_size: Count
    learning_rate: Rate
    decay: Decay
    augment: Augment


class Finetune(Section):
    weights: Text
    image_size: ImageSize
    embed_batch_size: Count
    batch_size: Count
    epochs: Count
    learning_rate: Rate
    dense_units: Count
    shuffle: bool
    unfreeze: Annotated[int, Field(ge=0)] | Text
    unfrozen: Unfrozen
    test_flips: Flips


class FinetuneReport(Finetune):
    backbone: Text


class FinetuneEdge(Finetune):
    backbone: Text | None  # None: off


class Evaluate(Section):
    latency_repeats: Count


class Suspects(Section):
    folds: Annotated[int, Field(ge=2, le=20)]


class Explain(Section):
    suspects: Annotated[int, Field(ge=0, le=100)]
    examples_per_class: Annotated[int, Field(ge=1, le=10)]
    mistakes: Annotated[int, Field(ge=0, le=50)]
    picture_size: Annotated[int, Field(ge=32, le=512)]


class Plots(Section):
    color: Annotated[str, Field(pattern="^#[0-9a-fA-F]{6}$")]
    dpi: Annotated[int, Field(ge=30, le=600)]


class Params(Section):
    """The whole file; a stage gets one in which only its declared keys exist."""

    base: Base
    fetch: Fetch
    validate_images: ValidateImages
    split: Split
    train_cnn: TrainCnn
    lr_sweep: LrSweep
    finetune_irv2: FinetuneReport
    finetune_densenet: FinetuneReport
    finetune_edge: FinetuneEdge
    evaluate: Evaluate
    suspects: Suspects
    explain: Explain
    plots: Plots


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


def load(stage: str, params: Path = PARAMS, pipeline: Path = PIPELINE) -> Params:
    """What dvc.yaml's `params` list of `stage` names, after the whole of params.yaml has passed.

    Reading a key that the stage does not declare is an AttributeError: DVC would not rerun the stage for it.

    Raises:
        UserError: for an unknown key, a wrong type or an impossible value, naming key, rule and what was received.
    """
    whole = check(read_yaml(params))
    declared = read_yaml(pipeline)["stages"][stage].get("params", [])
    return _only(whole, [tuple(key.split(".")) for key in declared])


def check(values: object) -> Params:
    if not isinstance(values, dict):
        rule = f"params.yaml must hold the sections {', '.join(Params.model_fields)}."
        raise UserError(rule, "Bring it back: git restore params.yaml", values or "an empty file")
    try:
        return Params.model_validate(values)
    except ValidationError as error:
        problems = error.errors()
        if any(problem["type"] == "extra_forbidden" for problem in problems):
            # A misspelt key gives two problems, unknown and missing; the unknown one carries the remedy.
            problems = [problem for problem in problems if problem["type"] != "missing"]
        first, more = problems[0], len({_key(problem, values) for problem in problems}) - 1
        raise _explained(first, _key(first, values), f" ({more} more after this one.)" if more else "") from None


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
