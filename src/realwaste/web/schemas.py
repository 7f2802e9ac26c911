"""What programs are answered, as JSON has it: the schemas of /openapi.json, each with an example."""

from typing import Any, Literal

from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict, Field

from realwaste.models.model_file import Facts


class _Shape(BaseModel):
    model_config = ConfigDict(extra="forbid", validate_by_name=True)


class Likely(_Shape):
    """A class and its calibrated probability, 0 to 1."""

    name: str = Field(alias="class")
    probability: float


class Looked(_Shape):
    """What the model says of a photo: every class, the most probable first.

    Attributes:
        saliency_of, saliency: where it looked for a class, as a PNG data URL; both only where it was asked for.
    """

    predictions: list[Likely]
    strangeness: float | None
    unlike: bool | None
    saliency_of: str | None = None
    saliency: str | None = None


class About(_Shape):
    """The model, its caution, and the strangeness from which on a photo is unlike anything it has learned."""

    model: Facts
    caution: str | None
    strangeness_threshold: float | None


class OnePhoto(About, Looked):
    """The answer to one photo."""


class OfFile(Looked):
    """The answer to one of several files, by the name it was sent with; without predictions, why there are none."""

    file: str | None
    error: str | None


class Photos(About):
    """The answers to several files, in their order."""

    answers: list[OfFile]


class Model(About):
    """The model, and what a request may hold: bytes a photo, files, and bytes in all."""

    limit: int
    files: int
    total: int


class Health(_Shape):
    """That requests are answered, and whether a photo would be taken now; no model's name while that is loaded."""

    status: Literal["ok"]
    model: str | None
    ready: bool


LOADING = {"status": "ok", "model": None, "ready": False}


class Failure(_Shape):
    """What is wrong, in words."""

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
_ABOUT = {"model": _FACTS, "caution": None, "strangeness_threshold": 0.31}
_SAID = {
    "predictions": [
        {"class": "Glass", "probability": 0.91},
        {"class": "Metal", "probability": 0.06},
        {"class": "Cardboard", "probability": 0.03},
    ],
    "strangeness": 0.17,
    "unlike": False,
}
_NOTHING: dict[str, Any] = {"predictions": [], "strangeness": None, "unlike": None}
_HEAT = {"saliency_of": "Glass", "saliency": "data:image/png;base64,iVBORw0KGgo="}
_PHOTO = {"file": "1.jpg", **_SAID, "error": None}
_WORDS = {"file": "notes.txt", **_NOTHING, "error": "This is no photo that can be read: not an image (plain text)."}
_HEALTH = {"status": "ok", "model": "irv2", "ready": True}
_EXAMPLES: dict[tuple[str, str], dict[str, dict[str, Any]]] = {
    ("/health", "get"): {"answer": _HEALTH},
    ("/health/ready", "get"): {"answer": _HEALTH},
    ("/model", "get"): {"answer": {**_ABOUT, "limit": 20_000_000, "files": 20, "total": 100_000_000}},
    ("/predict", "post"): {
        "one photo": {**_ABOUT, **_SAID},
        "one photo, saliency=true": {**_ABOUT, **_SAID, **_HEAT},
        "several files": {**_ABOUT, "answers": [_PHOTO, _WORDS]},
    },
}


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """FastAPI's `responses` of a route: how the errors of these statuses are told."""
    example = {"error": "A photo may have 20 MB at most."}
    told = {"model": Failure, "description": "Why not.", "content": {"application/json": {"example": example}}}
    return dict.fromkeys(statuses, told)


def add_examples(app: FastAPI) -> None:
    """To its /openapi.json, once all routes are there: FastAPI itself would leave each null out of an example."""
    paths = app.openapi()["paths"]
    for (path, method), examples in _EXAMPLES.items():
        shown = {name: {"value": value} for name, value in examples.items()}
        paths[path][method]["responses"]["200"]["content"]["application/json"]["examples"] = shown
