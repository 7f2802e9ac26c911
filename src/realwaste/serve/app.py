"""The routes: a page for people, and what it asks, which programs may ask too."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from importlib.resources import files
from typing import Any

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException as AnyHTTPException
from starlette.requests import ClientDisconnect

from realwaste import __doc__ as about
from realwaste.core.log import logger
from realwaste.images.reader import UnreadableImageError
from realwaste.serve.guard import Guard
from realwaste.serve.predictor import Predictor, UndefinedAnswerError
from realwaste.serve.upload import FORM, photograph

_PAGE = {
    "/": ("index.html", "text/html"),
    "/style.css": ("style.css", "text/css"),
    "/app.js": ("app.js", "text/javascript"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}
_BYTES = {"schema": {"type": "string", "format": "binary"}}
_FILE = {"schema": {"type": "object", "properties": {"file": _BYTES["schema"]}, "required": ["file"]}}
_PHOTO = {"required": True, "content": {"application/octet-stream": _BYTES, FORM: _FILE}}


def build(predictor: Predictor, *, limit: int, hosts: Iterable[str] | None, requests: int) -> FastAPI:
    """The ASGI application.

    Args:
        predictor: closed when the application ends.
        limit: bytes that a photograph may have.
        hosts: names that this server goes by, see `Guard`; None for any.
        requests: that may be in work at a time, see `Guard`.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        predictor.prepare_heat()
        yield
        predictor.close()

    # The pages that FastAPI makes of /openapi.json load their scripts from elsewhere.
    app = FastAPI(title="realwaste", description=about or "", docs_url=None, redoc_url=None, lifespan=lifespan)
    app.add_middleware(Guard, limit=limit, hosts=hosts, requests=requests)
    _say_errors_alike(app)
    for path, (name, kind) in _PAGE.items():
        _serve_file(app, path, name, kind)
    _answer_programs(app, predictor, limit)
    return app


def _answer_programs(app: FastAPI, predictor: Predictor, limit: int) -> None:
    @app.get("/health")
    async def health() -> dict[str, str]:
        """That the model is loaded and requests are answered."""
        return {"status": "ok", "model": predictor.facts.name}

    @app.get("/model")
    async def model() -> dict[str, Any]:
        """What the model is, its classes, and how many bytes a photo may have."""
        return {**predictor.about, "limit": limit}

    @app.post("/predict", openapi_extra={"requestBody": _PHOTO})
    async def predict(request: Request, saliency: bool = False, of: str | None = None) -> dict[str, Any]:
        """What the model says of a photo: its bytes as they are, or a form with one file.

        `unlike` is true of a photo unlike anything this model has learned: its `strangeness` is above the model's
        `strangeness_threshold`, as that of one in twenty of its validation pictures.

        With `saliency=true` also where it looked for its first answer, or for the class `of`: a PNG data URL, to be
        stretched over the photo; null where nothing speaks for that class.
        """
        if of is not None and of not in predictor.facts.classes:
            raise HTTPException(422, f"of must be one of {', '.join(predictor.facts.classes)}; received {of!r}.")
        answered = await predictor.answer(await photograph(request), saliency=saliency, of=of)
        told = {
            **predictor.about,
            "predictions": [prediction.record() for prediction in answered.predictions],
            "strangeness": answered.strangeness,
            "unlike": answered.unlike,
        }
        return told | ({"saliency_of": answered.saliency_of, "saliency": answered.saliency} if saliency else {})


def _serve_file(app: FastAPI, path: str, name: str, kind: str) -> None:
    content = (files("realwaste.serve") / "page" / name).read_bytes()

    @app.get(path, include_in_schema=False)
    async def file() -> Response:
        return Response(content, media_type=kind)


def _say_errors_alike(app: FastAPI) -> None:
    """Every error as {"error": words}."""

    @app.exception_handler(AnyHTTPException)
    async def refused(_: Request, error: AnyHTTPException) -> JSONResponse:
        return JSONResponse({"error": error.detail}, error.status_code, error.headers)

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        return JSONResponse({"error": f"{first['loc'][-1]}: {first['msg']}"}, 422)

    @app.exception_handler(UnreadableImageError)
    async def unreadable(_: Request, error: UnreadableImageError) -> JSONResponse:
        return JSONResponse({"error": f"This is no photo that can be read: {error}."}, 422)

    @app.exception_handler(UndefinedAnswerError)
    async def undefined(_: Request, error: UndefinedAnswerError) -> JSONResponse:
        return JSONResponse({"error": f"There is no answer: {error}."}, 500)

    @app.exception_handler(ClientDisconnect)
    async def gone(_: Request, __: ClientDisconnect) -> Response:
        return Response(status_code=400)  # for nobody

    @app.exception_handler(Exception)
    async def failed(_: Request, error: Exception) -> JSONResponse:
        # Starlette raises it again behind this answer, so that it is in the log.
        logger.error("A request failed: %s", type(error).__name__)
        return JSONResponse({"error": "The server failed on this request; its log says why."}, 500)
