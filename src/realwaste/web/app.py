"""The application of `serve`: a page for people, and the JSON routes that the page and other programs use."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import FastAPI, HTTPException, Query, Request, Response
from fastapi.responses import JSONResponse
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import Route

from realwaste import __doc__ as package_description
from realwaste.core.log import logger
from realwaste.images.file_format import declared_pixel_count
from realwaste.images.reader import MAX_PIXELS, UnreadableImageError
from realwaste.web import base_app, schemas
from realwaste.web.access_log import AccessLog
from realwaste.web.predictor import PredictionSettings, Predictor, UndefinedPredictionError
from realwaste.web.request_limits import (
    BUSY_MESSAGE,
    FORM_CONTENT_TYPE,
    PHOTO_TOO_LARGE,
    RETRY_AFTER,
    RequestGuard,
)
from realwaste.web.upload import cancel_on_disconnect, uploaded_photos

_PAGE = [f"serve_page/{name}" for name in ("index.html", "style.css", "app.js", "photos.js", "csv.js", "icon.svg")]
_BYTES = {"schema": {"type": "string", "format": "binary"}}
_FILES = {"type": "array", "items": _BYTES["schema"], "minItems": 1}
_FORM = {"schema": {"type": "object", "properties": {"file": _FILES}, "required": ["file"]}}
_REQUEST_BODY = {"required": True, "content": {"application/octet-stream": _BYTES, FORM_CONTENT_TYPE: _FORM}}


@dataclass(frozen=True)
class UploadLimits:
    """Limits per request.

    Attributes:
        photo_bytes: size of one photograph.
        files: files in one form.
        total_bytes: size of one form.
        pixels: decoded pixels of all photographs together: a few bytes may decode to any number of pixels, and other
            requests wait meanwhile.
    """

    photo_bytes: int = 20_000_000
    files: int = 20
    total_bytes: int = 100_000_000
    pixels: int = 500_000_000

    @property
    def form_bytes(self) -> int:
        """Size of one form, at least that of one photograph and the form's own overhead."""
        return max(self.total_bytes, self.photo_bytes + 10_000)


def build(
    predictor: Predictor,
    *,
    upload_limits: UploadLimits,
    allowed_hosts: Iterable[str] | None,
    max_requests: int,
    write_access_log: Callable[[str], None] | None = None,
) -> FastAPI:
    """The ASGI application.

    Args:
        predictor: closed when the application ends.
        allowed_hosts, max_requests: see `RequestGuard`.
        write_access_log: called with each line of the AccessLog; None for no access log.
    """

    app = _create_app(predictor)
    app.add_middleware(
        RequestGuard,
        max_body_bytes=upload_limits.photo_bytes,
        max_form_bytes=upload_limits.form_bytes,
        allowed_hosts=allowed_hosts,
        max_requests=max_requests,
    )
    _add_error_handlers(app)
    base_app.add_static_files(app, *_PAGE)
    _add_info_routes(app, predictor, upload_limits)
    _add_predict_route(app, predictor, upload_limits)
    if write_access_log is not None:
        paths = [route.path for route in app.routes if isinstance(route, Route)]
        app.add_middleware(AccessLog, write=write_access_log, paths=paths)
    return app


def _create_app(predictor: Predictor) -> FastAPI:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        predictor.close()

    # No docs pages: FastAPI's load their scripts from another site.
    description = package_description or ""
    app = FastAPI(title="realwaste", description=description, docs_url=None, redoc_url=None, lifespan=lifespan)
    # Behind a proxy with TLS a redirect would lead to http://, and the photograph would be sent unencrypted.
    app.router.redirect_slashes = False
    return app


def _add_info_routes(app: FastAPI, predictor: Predictor, upload_limits: UploadLimits) -> None:
    @app.get("/health", response_model=schemas.Health)
    async def health(request: Request) -> dict[str, Any]:
        """Liveness: the model is loaded; `ready` tells whether a photo would be accepted now."""
        return {"status": "ok", "model": predictor.facts.name, "ready": request.scope["free_slots"] > 0}

    @app.get("/health/ready", response_model=schemas.Health, responses=schemas.errors(503))
    async def readiness(request: Request) -> dict[str, Any]:
        """Readiness: like /health, but 503 while the server accepts no further photos."""
        if request.scope["free_slots"] <= 0:
            raise HTTPException(503, BUSY_MESSAGE, RETRY_AFTER)
        return await health(request)

    @app.get("/model", response_model=schemas.Model)
    async def model() -> dict[str, Any]:
        """The model, its classes, and the limits: bytes per photo, files per form, bytes per form."""
        limits = {"limit": upload_limits.photo_bytes, "files": upload_limits.files, "total": upload_limits.form_bytes}
        return {**predictor.model_info, **limits}


def _add_predict_route(app: FastAPI, predictor: Predictor, upload_limits: UploadLimits) -> None:
    @app.post(
        "/predict",
        response_model=schemas.OnePhoto | schemas.Photos,
        response_model_exclude_unset=True,
        responses=schemas.errors(400, 413, 422, 503),
        openapi_extra={"requestBody": _REQUEST_BODY},
    )
    async def predict(
        request: Request,
        saliency: bool = False,
        target_class: Annotated[str | None, Query(alias="of")] = None,
        min_confidence: Annotated[float | None, Query(ge=0, le=1)] = None,
    ) -> dict[str, Any]:
        """Predictions for one photo, sent as the raw body or as the one file of a form; or for several files of a form.

        `unlike` is true if the photo is unlike anything this model has learned: its novelty score `strangeness` exceeds
        the model's `strangeness_threshold`, which five percent of its validation pictures exceed.

        With `min_confidence=0.8` the `answer` is "not sure", and `not_sure` true, if the largest probability is lower
        or the photo is unlike anything learned.

        With `saliency=true` the response also shows where the model looked for its most probable class, or for the
        class `of`: a PNG data URL, to be stretched over the photo; null if nothing in the photo supports that class.
        Both are null if the server has no TensorFlow.

        Several files are answered in their order, in `answers`. A file that cannot be read has an `error` there, and
        the status is still 200.
        """
        if target_class is not None and target_class not in predictor.facts.classes:
            rule = f"of must be one of {', '.join(predictor.facts.classes)}"
            raise HTTPException(422, f"{rule}; received {target_class!r}.")
        async with uploaded_photos(request, upload_limits.files) as photos:
            settings = PredictionSettings(saliency, target_class, min_confidence)
            return await cancel_on_disconnect(request, _predict_photos(predictor, photos, upload_limits, settings))


async def _predict_photos(
    predictor: Predictor,
    photos: list[UploadFile],
    upload_limits: UploadLimits,
    settings: PredictionSettings,
) -> dict[str, Any]:
    """The response to one photo, or to several with an `error` for each that cannot be predicted."""
    remaining_pixels = upload_limits.pixels

    async def classify(photo: UploadFile) -> dict[str, Any]:
        nonlocal remaining_pixels
        if (photo.size or 0) > upload_limits.photo_bytes:
            raise HTTPException(413, PHOTO_TOO_LARGE.format(upload_limits.photo_bytes / 1e6))
        pixels = await asyncio.to_thread(lambda: declared_pixel_count(photo.file.read()))
        if remaining_pixels < pixels <= MAX_PIXELS:
            rule = f"The photos of one request may have at most {upload_limits.pixels / 1e6:g} million pixels together."
            raise HTTPException(413, rule)
        remaining_pixels -= pixels if pixels <= MAX_PIXELS else 0  # larger photos are refused before decoding
        return await predictor.classify(photo.file, pixels, settings)

    if len(photos) == 1:
        return {**predictor.model_info, **await classify(photos[0])}
    records = []
    for photo in photos:
        try:
            record = {**await classify(photo), "error": None}
        except (HTTPException, UnreadableImageError, UndefinedPredictionError) as error:
            record = {
                "answer": None,
                "not_sure": False,
                "predictions": [],
                "strangeness": None,
                "unlike": None,
                "error": _error_message(error),
            }
        records.append({"file": photo.filename, **record})
    return {**predictor.model_info, "answers": records}


def _error_message(error: Exception) -> str:
    if isinstance(error, UnreadableImageError):
        return f"This photo cannot be read: {error}."
    if isinstance(error, StarletteHTTPException):
        return str(error.detail)
    return f"There is no prediction: {error}."


def _add_error_handlers(app: FastAPI) -> None:
    base_app.add_error_handlers(app)

    @app.exception_handler(UnreadableImageError)
    @app.exception_handler(UndefinedPredictionError)
    async def unpredictable(_: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"error": _error_message(error)}, 422 if isinstance(error, UnreadableImageError) else 500)

    @app.exception_handler(ClientDisconnect)
    async def disconnected(_: Request, __: ClientDisconnect) -> Response:
        return Response(status_code=400)  # nobody receives it

    @app.exception_handler(Exception)
    async def failed(_: Request, error: Exception) -> JSONResponse:
        # Starlette raises it again after this response, which puts the traceback into the log.
        logger.error("A request failed: %s", type(error).__name__)
        return JSONResponse({"error": "The server failed to process this request; its log has the reason."}, 500)
