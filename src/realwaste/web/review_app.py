"""`realwaste review`: the page on which doubtful labels are decided, its routes and its server."""

import contextlib
import socket
import threading
from collections.abc import Iterable
from typing import Annotated, Any

import cv2
import uvicorn
from fastapi import Depends, FastAPI, HTTPException, Query, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from realwaste.core.environment import sigterm_as_interrupt
from realwaste.core.errors import UserError
from realwaste.core.log import logger
from realwaste.images.reader import UnreadableImageError, decode_image, read_bytes, shrink_to
from realwaste.web import base_app
from realwaste.web.address import allowed_hosts
from realwaste.web.connection import ConnectionLimits
from realwaste.web.request_limits import RequestGuard
from realwaste.web.review_labels import RAW, DecisionLog, ReviewQueue
from realwaste.web.server import uvicorn_config

_MAX_BODY_BYTES = 100_000
_JSON = "application/json"
_JPEG_QUALITY = 92
_PAGE = [f"review_page/{name}" for name in ("index.html", "review.css", "review.js")]
_SHARED_WITH_SERVE = [f"serve_page/{name}" for name in ("style.css", "page.js", "icon.svg")]
Window = Annotated[str, Field(max_length=64)]  # identifies a browser window: each undoes only its own answers


class UndoRequest(BaseModel):
    """The browser window whose last answer is undone."""

    model_config = ConfigDict(extra="forbid", strict=True)

    window: Window = ""


class AnswerRequest(UndoRequest):
    """The class of a photograph; null drops the photograph."""

    path: str
    label: str | None


def run(queue: ReviewQueue, listening_socket: socket.socket) -> None:
    """Serve until SIGINT or SIGTERM.

    Args:
        listening_socket: on a loopback address, from `address.bind_socket`; closed at the end.

    Raises:
        UserError: relabel.yaml cannot be read.
    """
    host, port = listening_socket.getsockname()[:2]
    decision_log = DecisionLog(queue.manifest, RAW)
    labels = decision_log.labels()
    decided = sum(path in labels for path in queue.suspects["path"])
    limits = ConnectionLimits()
    app = build(
        queue, decision_log, allowed_hosts=allowed_hosts(listening_socket, host), max_requests=limits.max_requests
    )
    text = "%d labels to decide, %d of them decided: http://%s:%d/ (Ctrl-C ends it)"
    logger.info(text, len(queue.suspects), decided, host, port)
    with contextlib.suppress(KeyboardInterrupt), sigterm_as_interrupt(), listening_socket:
        uvicorn.Server(uvicorn_config(app, limits)).run(sockets=[listening_socket])


def build(
    queue: ReviewQueue, decision_log: DecisionLog, *, allowed_hosts: Iterable[str] | None, max_requests: int
) -> FastAPI:
    """The ASGI application.

    Args:
        allowed_hosts, max_requests: see RequestGuard, which also refuses requests from pages of other sites.
    """
    app = FastAPI(title="realwaste review", docs_url=None, redoc_url=None, openapi_url=None)
    app.router.redirect_slashes = False  # like serve
    app.add_middleware(
        RequestGuard, max_body_bytes=_MAX_BODY_BYTES, allowed_hosts=allowed_hosts, max_requests=max_requests
    )
    _add_error_handlers(app)
    base_app.add_static_files(app, *_PAGE, *_SHARED_WITH_SERVE)
    _add_read_routes(app, queue, decision_log)
    _add_answer_routes(app, queue, decision_log)
    return app


def _add_read_routes(app: FastAPI, queue: ReviewQueue, decision_log: DecisionLog) -> None:
    decode_lock = threading.Lock()  # several pictures of many megapixels do not fit in memory at once
    records = queue.records()

    @app.get("/queue")
    def get_queue(window: Window = "") -> dict[str, Any]:
        """The photographs to decide on, and the decisions so far."""
        return {"classes": queue.classes, "models": queue.models, "cases": records} | _state(decision_log, window)

    @app.get("/photo/{row}")
    def photo(row: int, side: Annotated[int, Query(ge=16, le=4096)] = 1600) -> Response:
        """A photograph as the models read it, upright, 8 bits per channel; at most `side` pixels on its longer side."""
        if not 0 <= row < len(queue.manifest):
            raise HTTPException(404, f"There is no photo {row}.")
        path = RAW / queue.manifest["path"].iloc[row]
        try:
            with decode_lock:
                pixels = shrink_to(decode_image(read_bytes(path)), side)
        except (OSError, UnreadableImageError) as error:
            raise HTTPException(404, f"{path} cannot be shown: {getattr(error, 'strerror', None) or error}.") from None
        jpeg = cv2.imencode(".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])[1]
        return Response(jpeg.tobytes(), media_type="image/jpeg")


def _add_answer_routes(app: FastAPI, queue: ReviewQueue, decision_log: DecisionLog) -> None:
    def require_json(request: Request) -> None:
        """Browsers send JSON to another site only after a preflight request, which this server refuses."""
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _JSON:
            raise HTTPException(415, f"An answer must be {_JSON}.")

    @app.post("/answer", dependencies=[Depends(require_json)])
    def add_answer(answer: AnswerRequest) -> dict[str, Any]:
        """Write an answer; the photographs that it applies to, and all decisions."""
        if answer.label is not None and answer.label not in queue.classes:
            raise HTTPException(422, f"label must be one of {', '.join(queue.classes)}; received {answer.label!r}.")
        try:
            paths = decision_log.add_answer(answer.path, answer.label, answer.window)
        except KeyError:
            raise HTTPException(404, f"There is no photo {answer.path!r}.") from None
        return _state(decision_log, answer.window) | {"paths": paths}

    @app.post("/undo", dependencies=[Depends(require_json)])
    def undo(request: UndoRequest) -> dict[str, Any]:
        """Undo the last answer of a browser window."""
        paths = decision_log.undo(request.window)
        return _state(decision_log, request.window) | {"paths": paths}


def _state(decision_log: DecisionLog, window: str) -> dict[str, Any]:
    return {"decided": decision_log.labels(), "can_undo": decision_log.can_undo(window)}


def _add_error_handlers(app: FastAPI) -> None:
    base_app.add_error_handlers(app)

    @app.exception_handler(UserError)
    async def user_error(_: Request, error: UserError) -> JSONResponse:
        return JSONResponse({"error": " ".join(str(error).split())}, 409)

    @app.exception_handler(OSError)
    async def write_error(_: Request, error: OSError) -> JSONResponse:
        logger.error("An answer could not be written: %s", error)
        return JSONResponse({"error": f"The answer could not be written: {error.strerror or error}."}, 500)
