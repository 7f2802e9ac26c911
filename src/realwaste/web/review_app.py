"""The routes of the page on which labels are decided."""

import threading
from collections.abc import Iterable
from typing import Annotated, Any

import cv2
from fastapi import Depends, FastAPI, HTTPException, Query, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from realwaste.core.errors import UserError
from realwaste.core.log import logger
from realwaste.images.reader import UnreadableImageError, decode, read_bytes
from realwaste.images.scaling import at_most
from realwaste.web import errors, static_files
from realwaste.web.request_limits import Guard
from realwaste.web.review_journal import Journal
from realwaste.web.review_queue import RAW, Queue

LIMIT = 100_000  # bytes of an answer
_JSON = "application/json"
_QUALITY = 92
_PAGE = {  # path: folder, file and kind; what looks alike is the other page's
    "/": ("review_page", "index.html", "text/html"),
    "/review.css": ("review_page", "review.css", "text/css"),
    "/review.js": ("review_page", "review.js", "text/javascript"),
    "/style.css": ("serve_page", "style.css", "text/css"),
    "/icon.svg": ("serve_page", "icon.svg", "image/svg+xml"),
}


Window = Annotated[str, Field(max_length=64)]  # of the browser: each takes its own answers back


class Answer(BaseModel):
    """The class that a photograph is of; none for one that is dropped."""

    model_config = ConfigDict(extra="forbid", strict=True)

    path: str
    label: str | None
    window: Window = ""


class Undo(BaseModel):
    """Of which window the last answer is to be taken back."""

    model_config = ConfigDict(extra="forbid", strict=True)

    window: Window = ""


def build(queue: Queue, journal: Journal, *, hosts: Iterable[str] | None, requests: int) -> FastAPI:
    """The ASGI application.

    Args:
        hosts, requests: as of Guard, which also refuses what pages of other sites send.
    """
    app = FastAPI(title="realwaste review", docs_url=None, redoc_url=None, openapi_url=None)
    app.router.redirect_slashes = False  # as of serve
    app.add_middleware(Guard, limit=LIMIT, hosts=hosts, requests=requests)
    _say_errors_alike(app)
    for path, (folder, name, kind) in _PAGE.items():
        static_files.serve(app, path, folder, name, kind)
    _show(app, queue, journal)
    _take_answers(app, queue, journal)
    return app


def _show(app: FastAPI, queue: Queue, journal: Journal) -> None:
    decoding = threading.Lock()  # several pictures of many megapixels at once would not fit in memory
    records = queue.records()

    @app.get("/queue")
    def cases(window: Window = "") -> dict[str, Any]:
        """What is to be decided, and what has been."""
        about = {"classes": queue.classes, "models": queue.models, "cases": records}
        return about | {"decided": journal.labels(), "can_undo": journal.can_undo(window)}

    @app.get("/photo/{row}")
    def photo(row: int, side: Annotated[int, Query(ge=16, le=4096)] = 1600) -> Response:
        """A photograph as the models see it: upright, in eight bits; its longer side has at most `side` pixels."""
        if not 0 <= row < len(queue.manifest):
            raise HTTPException(404, f"There is no photo {row}.")
        path = RAW / queue.manifest["path"].iloc[row]
        try:
            with decoding:
                seen = at_most(decode(read_bytes(path)), side)
        except (OSError, UnreadableImageError) as error:
            raise HTTPException(404, f"{path} cannot be shown: {getattr(error, 'strerror', None) or error}.") from None
        packed = cv2.imencode(".jpg", seen[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1]
        return Response(packed.tobytes(), media_type="image/jpeg")


def _take_answers(app: FastAPI, queue: Queue, journal: Journal) -> None:
    def only_json(request: Request) -> None:
        """A form of another site could send no JSON without asking first, which nobody here answers."""
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _JSON:
            raise HTTPException(415, f"An answer must be {_JSON}.")

    @app.post("/answer", dependencies=[Depends(only_json)])
    def answer(said: Answer) -> dict[str, Any]:
        """Write an answer; the photographs that it is for, as they stand now."""
        if said.label is not None and said.label not in queue.classes:
            raise HTTPException(422, f"label must be one of {', '.join(queue.classes)}; received {said.label!r}.")
        try:
            paths = journal.answer(said.path, said.label, said.window)
        except KeyError:
            raise HTTPException(404, f"There is no photo {said.path!r}.") from None
        return {"paths": paths, "decided": journal.labels(), "can_undo": journal.can_undo(said.window)}

    @app.post("/undo", dependencies=[Depends(only_json)])
    def undo(asked: Undo) -> dict[str, Any]:
        """Take the last answer of a window back."""
        paths = journal.undo(asked.window)
        return {"paths": paths, "decided": journal.labels(), "can_undo": journal.can_undo(asked.window)}


def _say_errors_alike(app: FastAPI) -> None:
    errors.say_alike(app)

    @app.exception_handler(UserError)
    async def mistaken(_: Request, error: UserError) -> JSONResponse:
        return JSONResponse({"error": " ".join(str(error).split())}, 409)

    @app.exception_handler(OSError)
    async def unwritable(_: Request, error: OSError) -> JSONResponse:
        logger.error("An answer could not be written: %s", error)
        return JSONResponse({"error": f"The answer could not be written: {error.strerror or error}."}, 500)
