"""The routes: a page for people, and what it asks, which programs may ask too."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.responses import JSONResponse
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException as AnyHTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import Route

from realwaste import __doc__ as about
from realwaste.core.log import logger
from realwaste.images.file_format import stated_pixels
from realwaste.images.reader import MAX_PIXELS, UnreadableImageError
from realwaste.web import errors, schemas, static_files
from realwaste.web.access_log import AccessLog
from realwaste.web.predictor import Answered, Predictor, UndefinedAnswerError
from realwaste.web.request_limits import BUSY, FORM, RETRY, Guard, too_large, too_many_pixels
from realwaste.web.upload import photographs, unless_gone

_PAGE = {
    "/": ("index.html", "text/html"),
    "/style.css": ("style.css", "text/css"),
    "/app.js": ("app.js", "text/javascript"),
    "/photos.js": ("photos.js", "text/javascript"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}
_BYTES = {"schema": {"type": "string", "format": "binary"}}
_FILES = {"type": "array", "items": _BYTES["schema"], "minItems": 1}
_FORM = {"schema": {"type": "object", "properties": {"file": _FILES}, "required": ["file"]}}
_PHOTOS = {"required": True, "content": {"application/octet-stream": _BYTES, FORM: _FORM}}


@dataclass(frozen=True)
class Uploads:
    """What a request may hold.

    Attributes:
        limit: bytes that a photograph may have.
        files: that a form may hold.
        total: bytes that a form may have; `limit` and what a form takes for itself where that is more.
        pixels: that all its photographs may have: a few bytes may unpack to any number, and others wait meanwhile.
    """

    limit: int = 20_000_000
    files: int = 20
    total: int = 100_000_000
    pixels: int = 500_000_000

    @property
    def form(self) -> int:
        """Bytes that a form may have."""
        return max(self.total, self.limit + 10_000)


def build(
    predictor: Predictor,
    *,
    uploads: Uploads,
    hosts: Iterable[str] | None,
    requests: int,
    access: Callable[[str], None] | None = None,
) -> FastAPI:
    """The ASGI application.

    Args:
        predictor: closed when the application ends.
        hosts: names that this server goes by, see `Guard`; None for any.
        requests: that may be in work at a time, see `Guard`.
        access: takes the lines of an AccessLog; None for none.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        predictor.close()

    # The pages that FastAPI makes of /openapi.json load their scripts from elsewhere.
    app = FastAPI(title="realwaste", description=about or "", docs_url=None, redoc_url=None, lifespan=lifespan)
    app.router.redirect_slashes = False  # to http:// behind a proxy with TLS: the photograph would be sent in the clear
    app.add_middleware(Guard, limit=uploads.limit, form_limit=uploads.form, hosts=hosts, requests=requests)
    _say_errors_alike(app)
    for path, (name, kind) in _PAGE.items():
        static_files.serve(app, path, "serve_page", name, kind)
    _say_of_itself(app, predictor, uploads)
    _answer_photos(app, predictor, uploads)
    schemas.add_examples(app)
    if access is not None:
        paths = [route.path for route in app.routes if isinstance(route, Route)]
        app.add_middleware(AccessLog, write=access, paths=paths)
    return app


def _say_of_itself(app: FastAPI, predictor: Predictor, uploads: Uploads) -> None:
    @app.get("/health", response_model=schemas.Health)
    async def health(request: Request) -> dict[str, Any]:
        """Liveness: that the model is loaded and requests are answered; and whether a photo would be taken now."""
        return {"status": "ok", "model": predictor.facts.name, "ready": request.scope["free"] > 0}

    @app.get("/health/ready", response_model=schemas.Health, responses=schemas.errors(503))
    async def is_ready(request: Request) -> dict[str, Any]:
        """Readiness: as /health, but 503 while more photos wait for an answer than are taken."""
        if request.scope["free"] <= 0:
            raise HTTPException(503, BUSY, RETRY)
        return await health(request)

    @app.get("/model", response_model=schemas.Model)
    async def model() -> dict[str, Any]:
        """What the model is, its classes, and how many bytes a photo, files a form, and bytes a form may have."""
        return {**predictor.about, "limit": uploads.limit, "files": uploads.files, "total": uploads.form}


def _answer_photos(app: FastAPI, predictor: Predictor, uploads: Uploads) -> None:
    @app.post(
        "/predict",
        response_model=schemas.OnePhoto | schemas.Photos,
        response_model_exclude_unset=True,
        responses=schemas.errors(400, 413, 422, 503),
        openapi_extra={"requestBody": _PHOTOS},
    )
    async def predict(request: Request, saliency: bool = False, of: str | None = None) -> dict[str, Any]:
        """What the model says of a photo, its bytes as they are or a form with one file; or of several files in a form.

        `unlike` is true of a photo unlike anything this model has learned: its `strangeness` is above the model's
        `strangeness_threshold`, as that of one in twenty of its validation pictures.

        With `saliency=true` also where it looked for its first answer, or for the class `of`: a PNG data URL, to be
        stretched over the photo; null where nothing speaks for that class.

        Several files are answered in their order, in `answers`; what cannot be read among them has an `error`, and the
        status is 200 all the same.
        """
        if of is not None and of not in predictor.facts.classes:
            raise HTTPException(422, f"of must be one of {', '.join(predictor.facts.classes)}; received {of!r}.")
        async with photographs(request, uploads.files) as photos:
            return await unless_gone(request, _predict_each(predictor, photos, uploads, saliency=saliency, of=of))


async def _predict_each(
    predictor: Predictor, photos: list[UploadFile], uploads: Uploads, *, saliency: bool, of: str | None
) -> dict[str, Any]:
    budget = uploads.pixels

    async def predict_one(photo: UploadFile) -> dict[str, Any]:
        nonlocal budget
        if (photo.size or 0) > uploads.limit:
            raise HTTPException(413, too_large(uploads.limit))
        pixels = await asyncio.to_thread(lambda: stated_pixels(photo.file.read()))
        if budget < pixels <= MAX_PIXELS:
            raise HTTPException(413, too_many_pixels(uploads.pixels))
        budget -= pixels if pixels <= MAX_PIXELS else 0  # more are refused before they cost anything
        answered = await predictor.answer(photo.file, pixels=pixels, saliency=saliency, of=of)
        return _told(answered, saliency=saliency)

    if len(photos) == 1:
        return {**predictor.about, **await predict_one(photos[0])}
    predicted = []
    for photo in photos:
        try:
            answer = {**await predict_one(photo), "error": None}
        except (HTTPException, UnreadableImageError, UndefinedAnswerError) as error:
            answer = {"predictions": [], "strangeness": None, "unlike": None, "error": _words(error)}
        predicted.append({"file": photo.filename, **answer})
    return {**predictor.about, "answers": predicted}


def _told(answered: Answered, *, saliency: bool) -> dict[str, Any]:
    told = {
        "predictions": [prediction.record() for prediction in answered.predictions],
        "strangeness": answered.strangeness,
        "unlike": answered.unlike,
    }
    return told | ({"saliency_of": answered.saliency_of, "saliency": answered.saliency} if saliency else {})


def _words(error: Exception) -> str:
    if isinstance(error, UnreadableImageError):
        return f"This is no photo that can be read: {error}."
    return str(error.detail) if isinstance(error, AnyHTTPException) else f"There is no answer: {error}."


def _say_errors_alike(app: FastAPI) -> None:
    errors.say_alike(app)

    @app.exception_handler(UnreadableImageError)
    async def unreadable(_: Request, error: UnreadableImageError) -> JSONResponse:
        return JSONResponse({"error": _words(error)}, 422)

    @app.exception_handler(UndefinedAnswerError)
    async def undefined(_: Request, error: UndefinedAnswerError) -> JSONResponse:
        return JSONResponse({"error": _words(error)}, 500)

    @app.exception_handler(ClientDisconnect)
    async def gone(_: Request, __: ClientDisconnect) -> Response:
        return Response(status_code=400)  # for nobody

    @app.exception_handler(Exception)
    async def failed(_: Request, error: Exception) -> JSONResponse:
        # Starlette raises it again behind this answer, so that it is in the log.
        logger.error("A request failed: %s", type(error).__name__)
        return JSONResponse({"error": "The server failed on this request; its log says why."}, 500)
