"""What the applications of `serve` and `review` share: their page's files and their error responses."""

from importlib.resources import files

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException


def add_static_file(app: FastAPI, path: str, folder: str, name: str, media_type: str) -> None:
    """Answer GET `path` with the file `name` of a folder of this package, which is read once."""
    content = (files("realwaste.web") / folder / name).read_bytes()

    @app.get(path, include_in_schema=False)
    async def static_file() -> Response:
        return Response(content, media_type=media_type)


def add_error_handlers(app: FastAPI) -> None:
    """Answer with {"error": message} where FastAPI itself raises; the application adds its own exceptions."""

    @app.exception_handler(HTTPException)
    async def refused(_: Request, error: HTTPException) -> JSONResponse:
        return JSONResponse({"error": error.detail}, error.status_code, error.headers)

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        return JSONResponse({"error": f"{first['loc'][-1]}: {first['msg']}"}, 422)
