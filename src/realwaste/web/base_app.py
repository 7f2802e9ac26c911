"""What the applications of `serve` and `review` share: their page's files and their error responses."""

from importlib.resources import files
from pathlib import Path

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

_MEDIA_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


def add_static_files(app: FastAPI, *names: str) -> None:
    """Answer GET requests with files of this package, given as <folder>/<name>; index.html is the page at `/`.

    Custom code, because StaticFiles at `/` would answer GET /predict with 404, not 405.
    """

    def add(content: bytes, path: str, media_type: str) -> None:
        @app.get(path, include_in_schema=False)
        async def static_file() -> Response:
            return Response(content, media_type=media_type)

    for name in names:
        file = files("realwaste.web") / name
        add(file.read_bytes(), "/" if file.name == "index.html" else f"/{file.name}", _MEDIA_TYPES[Path(name).suffix])


def add_error_handlers(app: FastAPI) -> None:
    """Answer with {"error": message} where FastAPI itself raises; the application adds its own exceptions."""

    @app.exception_handler(HTTPException)
    async def refused(_: Request, error: HTTPException) -> JSONResponse:
        return JSONResponse({"error": error.detail}, error.status_code, error.headers)

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        return JSONResponse({"error": f"{first['loc'][-1]}: {first['msg']}"}, 422)
