"""The photographs in a request: the body itself, or the files in a form."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from tempfile import SpooledTemporaryFile
from typing import Any, TypeVar

from fastapi import HTTPException, Request
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartParser
from starlette.requests import ClientDisconnect

from realwaste.web.request_limits import FORM

T = TypeVar("T")


@asynccontextmanager
async def photographs(request: Request, most: int) -> AsyncIterator[list[UploadFile]]:
    """The files that were sent, in their order, as long as the block runs; what is large waits on the disk till then.

    Args:
        most: files that a form may hold.

    Raises:
        HTTPException: a form that cannot be read or holds more files (400), or none (422).
    """
    if not request.headers.get("content-type", "").lower().startswith(FORM):
        with SpooledTemporaryFile(MultiPartParser.spool_max_size) as file:
            body = UploadFile(file, size=0)  # type: ignore[arg-type]  # as Starlette itself
            async for piece in request.stream():
                await body.write(piece)
            await body.seek(0)
            yield [body]
        return
    async with request.form(max_files=most, max_fields=8) as form:
        found = [value for _, value in form.multi_items() if isinstance(value, UploadFile)]
        if not found:
            raise HTTPException(422, "There must be a file in the form: curl -F file=@photo.jpg …")
        yield found


async def unless_gone(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`, which is cancelled when its client goes: others wait for the model.

    By hand, since neither Starlette nor FastAPI ends a route whose client has gone.

    Args:
        request: one whose body has been read.

    Raises:
        ClientDisconnect: the client has gone.
    """

    async def leave() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    working, leaving = asyncio.create_task(work), asyncio.create_task(leave())
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientDisconnect
        return working.result()
    finally:
        working.cancel()
        leaving.cancel()
