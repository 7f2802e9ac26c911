"""The JSON responses of `serve`: the schemas of /openapi.json."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from realwaste.models.model_file import ModelMetadata


class _Schema(BaseModel):
    model_config = ConfigDict(extra="forbid", validate_by_name=True)


class ClassProbability(_Schema):
    """A class and its calibrated probability, 0 to 1."""

    name: str = Field(alias="class")
    probability: float


class Prediction(_Schema):
    """The prediction for one photo: every class, the most probable first.

    Attributes:
        answer, not_sure: the most probable class; or "not sure" and true, see `min_confidence`. No answer is null.
        saliency_of, saliency: a class and where the model looked for it, as a PNG data URL; only with `saliency=true`.
    """

    answer: str | None
    not_sure: bool
    predictions: list[ClassProbability]
    strangeness: float | None
    unlike: bool | None
    saliency_of: str | None = None
    saliency: str | None = None


class ModelInfo(_Schema):
    """The model, its caution, and the novelty score above which a photo is unlike anything it has learned."""

    model: ModelMetadata
    caution: str | None
    strangeness_threshold: float | None


class OnePhoto(ModelInfo, Prediction):
    """The response to one photo."""


class FilePrediction(Prediction):
    """The prediction for one of several files, with its file name; without predictions, `error` has the reason."""

    file: str | None
    error: str | None


class Photos(ModelInfo):
    """The response to several files, in their order."""

    answers: list[FilePrediction]


class Model(ModelInfo):
    """The model, and the limits of a request: bytes per photo, files per form, bytes per form."""

    limit: int
    files: int
    total: int


class Health(_Schema):
    """Requests are answered; `ready` tells whether a photo would be accepted now, `model` is null during loading."""

    status: Literal["ok"]
    model: str | None
    ready: bool


class Failure(_Schema):
    """The error message."""

    error: str


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """FastAPI's `responses` of a route: the error response of each of these statuses."""
    return {status: {"model": Failure, "description": "The reason."} for status in statuses}
