"""The application of `serve`: a page for people, and the JSON routes that the page and other programs use."""

from collections.abc import Callable, Iterable
from typing import Any

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.responses import JSONResponse
from starlette.requests import ClientDisconnect
from starlette.routing import Route

from realwaste import __doc__ as package_description
from realwaste.core.log import logger
from realwaste.images.reader import UnreadableImageError
from realwaste.web import base_app, schemas
from realwaste.web.access_log import AccessLog
from realwaste.web.predict_route import UploadLimits, add_predict_route, error_message
from realwaste.web.predictor import Predictor, UndefinedPredictionError
from realwaste.web.request_limits import BUSY_MESSAGE, RETRY_AFTER, RequestGuard

_SCRIPTS = ("app.js", "page.js", "photos.js", "csv.js")
_PAGE = [f"serve_page/{name}" for name in ("index.html", "style.css", "icon.svg", *_SCRIPTS)]


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
        allowed_hosts, max_requests: see `RequestGuard`.
        write_access_log: called with each line of the AccessLog; None for no access log.
    """
    app = _create_app()
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
    add_predict_route(app, predictor, upload_limits)
    if write_access_log is not None:
        paths = [route.path for route in app.routes if isinstance(route, Route)]
        app.add_middleware(AccessLog, write=write_access_log, paths=paths)
    return app


def _create_app() -> FastAPI:
    # No docs pages: FastAPI's load their scripts from another site.
    description = package_description or ""
    app = FastAPI(title="realwaste", description=description, docs_url=None, redoc_url=None)
    # Behind a proxy with TLS a redirect would lead to http://, and the photograph would be sent unencrypted.
    app.router.redirect_slashes = False
    return app


def _add_info_routes(app: FastAPI, predictor: Predictor, upload_limits: UploadLimits) -> None:
    @app.get("/health", response_model=schemas.Health)
    async def health(request: Request) -> dict[str, Any]:
        """Liveness: the model is loaded; `ready` tells whether a photo would be accepted now."""
        return {"status": "ok", "model": predictor.metadata.name, "ready": request.scope["free_slots"] > 0}

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


def _add_error_handlers(app: FastAPI) -> None:
    base_app.add_error_handlers(app)

    @app.exception_handler(UnreadableImageError)
    @app.exception_handler(UndefinedPredictionError)
    async def unpredictable(_: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"error": error_message(error)}, 422 if isinstance(error, UnreadableImageError) else 500)

    @app.exception_handler(ClientDisconnect)
    async def disconnected(_: Request, __: ClientDisconnect) -> Response:
        return Response(status_code=400)  # nobody receives it

    @app.exception_handler(Exception)
    async def failed(_: Request, error: Exception) -> JSONResponse:
        # Starlette raises it again after this response, which puts the traceback into the log.
        logger.error("A request failed: %s", type(error).__name__)
        return JSONResponse({"error": "The server failed to process this request; its log has the reason."}, 500)
