"""The photographs of a request: the raw body, or the files of a form."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from tempfile import SpooledTemporaryFile
from typing import Any, TypeVar

from fastapi import HTTPException, Request
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartParser
from starlette.requests import ClientDisconnect

from realwaste.web.request_limits import FORM_CONTENT_TYPE

T = TypeVar("T")


@asynccontextmanager
async def uploaded_photos(request: Request, max_files: int) -> AsyncIterator[list[UploadFile]]:
    """The uploaded files in their order, open while the block runs; large ones are temporary files on disk.

    Args:
        max_files: files in one form.

    Raises:
        HTTPException: a form that is malformed or has too many files (400), or no file (422).
    """
    if not request.headers.get("content-type", "").lower().startswith(FORM_CONTENT_TYPE):
        with SpooledTemporaryFile(MultiPartParser.spool_max_size) as file:
            body = UploadFile(file, size=0)  # type: ignore[arg-type]  # like Starlette itself
            async for chunk in request.stream():
                await body.write(chunk)
            await body.seek(0)
            yield [body]
        return
    async with request.form(max_files=max_files, max_fields=8) as form:
        photos = [value for _, value in form.multi_items() if isinstance(value, UploadFile)]
        if not photos:
            raise HTTPException(422, "The form must contain a file: curl -F file=@photo.jpg …")
        yield photos


async def cancel_on_disconnect(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`, which is cancelled when the client disconnects, since other clients wait for the model.

    Custom code, because neither Starlette nor FastAPI cancels a route whose client has disconnected.

    Args:
        request: its body has been read.

    Raises:
        ClientDisconnect: the client has disconnected.
    """

    async def wait_for_disconnect() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    work_task, disconnect_task = asyncio.create_task(work), asyncio.create_task(wait_for_disconnect())
    try:
        await asyncio.wait({work_task, disconnect_task}, return_when=asyncio.FIRST_COMPLETED)
        if not work_task.done():
            raise ClientDisconnect
        return work_task.result()
    finally:
        work_task.cancel()
        disconnect_task.cancel()
