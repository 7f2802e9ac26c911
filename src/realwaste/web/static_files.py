"""The files that a page is made of, from the package."""

from importlib.resources import files

from fastapi import FastAPI, Response


def serve(app: FastAPI, path: str, folder: str, name: str, kind: str) -> None:
    """Answer GET `path` with the file `name` of a folder of this package, read once."""
    content = (files("realwaste.web") / folder / name).read_bytes()

    @app.get(path, include_in_schema=False)
    async def file() -> Response:
        return Response(content, media_type=kind)
