"""The parameters of params.yaml and the rule that each must keep, as pydantic models, a class a section.

They have no defaults and convert nothing: a value reaches a stage as params.yaml has it, or the run is refused.
"""

from itertools import pairwise
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator


def _require_unique(values: list[Any]) -> list[Any]:
    if len(set(values)) < len(values):
        raise ValueError("the values must be unique")
    return values


def _require_increasing(values: list[float]) -> list[float]:
    if any(later <= earlier for earlier, later in pairwise(values)):
        raise ValueError("the values must increase")
    return values


# Far beyond what anybody waits for, or fits in memory: a digit too many is refused, not begun.
Count = Annotated[int, Field(ge=1, le=100_000)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]
LearningRate = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Ratio = Annotated[float, Field(gt=0, lt=1)]
Share = Annotated[float, Field(ge=0, lt=1)]
WeightDecay = Annotated[float, Field(ge=0, allow_inf_nan=False)]
ImageSize = Annotated[int, Field(ge=16, le=4096)]
Cache = Literal["memory", "disk", "none"]
Decay = Literal["constant", "cosine"]
Flips = Literal["none", "horizontal", "both"]
Crops = Literal["none", "middle"]
Text = Annotated[str, Field(min_length=1)]


class Section(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class Base(Section):
    seed: Seed
    seeds: Annotated[list[Seed], Field(max_length=100), AfterValidator(_require_unique)]
    deterministic: bool
    precision: Literal["auto", "float32", "mixed_bfloat16", "mixed_float16"]
    engine: Literal["local", "ray"]
    inference: Literal["auto", "openvino", "tensorflow"]

    @model_validator(mode="after")
    def _check_float16_engine(self) -> Self:
        if (self.inference, self.precision) == ("openvino", "mixed_float16"):
            raise ValueError("inference: openvino computes in float32 or mixed_bfloat16, not in mixed_float16")
        return self


class Fetch(Section):
    source: Text
    sha256: Annotated[str, Field(pattern="^[0-9a-fA-F]{64}$")] | None
    synthetic_images_per_class: Annotated[Count, Field(ge=5)]


class ValidateImages(Section):
    on_reject: Literal["fail", "drop"]


class Split(Section):
    strategy: Literal["auto", "stratified", "grouped", "given"]
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
    flip: bool | Literal["horizontal"]
    rotate: Annotated[float, Field(ge=0, le=0.5)]
    zoom: Share
    shift: Share
    color: Share


class TrainCnn(Section):
    image_size: ImageSize
    batch_size: Count
    epochs: Count
    learning_rate: LearningRate
    optimizer: Literal["adam", "sgd", "sgd_momentum"]
    normalization: Literal["batch", "none"]
    batch_norm_momentum: Ratio
    activation: Literal["relu", "leaky_relu", "elu", "gelu", "silu", "tanh", "sigmoid"]
    shuffle: bool
    head: Literal["flatten", "gap"]
    augment: Augment
    dropout: Share
    weight_decay: WeightDecay
    label_smoothing: Share
    class_weights: bool
    decay: Decay
    patience: Count | None
    test_flips: Flips
    cache: Cache


class LrSweep(Section):
    learning_rates: Annotated[list[LearningRate], Field(min_length=1), AfterValidator(_require_unique)]
    epochs: Count
    prune: bool


class Unfrozen(Section):
    epochs: Count
    batch_size: Count
    learning_rate: LearningRate
    decay: Decay
    warmup: Share
    weight_decay: WeightDecay
    label_smoothing: Share
    mixup: Annotated[float, Field(ge=0, le=10)]
    batch_norm: Literal["frozen", "train"]
    keep: Literal["last", "best"]
    augment: Augment


class Views(Section):
    count: Annotated[int, Field(ge=0, le=100)]
    crop: Share
    stretch: Annotated[float, Field(ge=0, le=3)]
    color: Share
    background: Annotated[float, Field(ge=0, le=1)]
    degrade: Annotated[float, Field(ge=0, le=1)]


class Finetune(Section):
    backbone: Text
    weights: Text
    image_size: ImageSize
    embed_batch_size: Count
    views: Views
    batch_size: Count
    epochs: Count
    learning_rate: LearningRate
    dense_units: Count
    dropout: Share
    heads: Annotated[int, Field(ge=1, le=100)]
    shuffle: bool
    unfreeze: Annotated[int, Field(ge=0)] | Text
    unfrozen: Unfrozen
    test_flips: Flips
    test_crops: Crops


class LearningCurve(Section):
    percents: Annotated[list[Annotated[float, Field(gt=0, le=100)]], AfterValidator(_require_increasing)]
    repeats: Annotated[int, Field(ge=1, le=100)]
    cnn: bool


class Evaluate(Section):
    latency_repeats: Count
    folds: Annotated[int, Field(ge=2, le=20)]
    fold_repeats: Annotated[int, Field(ge=0, le=100)]
    learning_curve: LearningCurve
    exports: Annotated[list[Literal["onnx", "litert", "saved_model"]], AfterValidator(_require_unique)]
    external: Annotated[list[Text], AfterValidator(_require_unique)]


class Suspects(Section):
    folds: Annotated[int, Field(ge=2, le=20)]


class Shortcuts(Section):
    backbone: Literal["auto", "irv2", "densenet", "edge"]
    image_size: ImageSize
    batch_size: Count
    images: Annotated[Count, Field(ge=10)]
    folds: Annotated[int, Field(ge=2, le=20)]
    val_fraction: Ratio


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
    finetune_irv2: Finetune
    finetune_densenet: Finetune
    finetune_edge: Finetune
    evaluate: Evaluate
    suspects: Suspects
    shortcuts: Shortcuts
    explain: Explain
    plots: Plots
