"""The JSON responses of `serve`: the schemas of /openapi.json, with an example of each."""

from typing import Any, Literal

from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict, Field

from realwaste.models.model_file import Facts


class _Schema(BaseModel):
    model_config = ConfigDict(extra="forbid", validate_by_name=True)


class ClassProbability(_Schema):
    """A class and its calibrated probability, 0 to 1."""

    name: str = Field(alias="class")
    probability: float


class Prediction(_Schema):
    """The prediction for one photo: every class, the most probable first.

    Attributes:
        saliency_of, saliency: a class and where the model looked for it, as a PNG data URL; only with `saliency=true`.
    """

    predictions: list[ClassProbability]
    strangeness: float | None
    unlike: bool | None
    saliency_of: str | None = None
    saliency: str | None = None


class ModelInfo(_Schema):
    """The model, its caution, and the novelty score above which a photo is unlike anything it has learned."""

    model: Facts
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


LOADING = {"status": "ok", "model": None, "ready": False}


class Failure(_Schema):
    """The error message."""

    error: str


_FACTS = {
    "name": "irv2",
    "classes": ["Cardboard", "Glass", "Metal"],
    "image_size": 524,
    "dataset": "RealWaste",
    "backbone": "InceptionResNetV2",
    "weights": "imagenet",
    "temperature": 1.21,
    "precision": "float32",
    "batch_size": 16,
    "origin": "realwaste",
}
_MODEL_INFO = {"model": _FACTS, "caution": None, "strangeness_threshold": 0.31}
_PREDICTION = {
    "predictions": [
        {"class": "Glass", "probability": 0.91},
        {"class": "Metal", "probability": 0.06},
        {"class": "Cardboard", "probability": 0.03},
    ],
    "strangeness": 0.17,
    "unlike": False,
}
_NO_PREDICTION: dict[str, Any] = {"predictions": [], "strangeness": None, "unlike": None}
_SALIENCY = {"saliency_of": "Glass", "saliency": "data:image/png;base64,iVBORw0KGgo="}
_PHOTO_FILE = {"file": "1.jpg", **_PREDICTION, "error": None}
_UNREADABLE = "This photo cannot be read: not an image (plain text)."
_TEXT_FILE = {"file": "notes.txt", **_NO_PREDICTION, "error": _UNREADABLE}
_HEALTH = {"status": "ok", "model": "irv2", "ready": True}
_EXAMPLES: dict[tuple[str, str], dict[str, dict[str, Any]]] = {
    ("/health", "get"): {"answer": _HEALTH},
    ("/health/ready", "get"): {"answer": _HEALTH},
    ("/model", "get"): {"answer": {**_MODEL_INFO, "limit": 20_000_000, "files": 20, "total": 100_000_000}},
    ("/predict", "post"): {
        "one photo": {**_MODEL_INFO, **_PREDICTION},
        "one photo, saliency=true": {**_MODEL_INFO, **_PREDICTION, **_SALIENCY},
        "several files": {**_MODEL_INFO, "answers": [_PHOTO_FILE, _TEXT_FILE]},
    },
}


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """FastAPI's `responses` of a route: the error response of each of these statuses."""
    content = {"application/json": {"example": {"error": "A photo may have at most 20 MB."}}}
    response = {"model": Failure, "description": "The reason.", "content": content}
    return dict.fromkeys(statuses, response)


def add_examples(app: FastAPI) -> None:
    """Add the examples to /openapi.json after all routes; FastAPI itself would omit each null of an example."""
    paths = app.openapi()["paths"]
    for (path, method), examples in _EXAMPLES.items():
        content = paths[path][method]["responses"]["200"]["content"]["application/json"]
        content["examples"] = {name: {"value": value} for name, value in examples.items()}
