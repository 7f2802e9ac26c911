"""The photographs in a request: the body itself, or the files in a form."""

import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import HTTPException, Request
from starlette.datastructures import UploadFile

from realwaste.serve.guard import FORM


@asynccontextmanager
async def photographs(request: Request, most: int) -> AsyncIterator[list[UploadFile]]:
    """The files that were sent, in their order, as long as the block runs; what is large waits on the disk till then.

    Args:
        most: files that a form may hold.

    Raises:
        HTTPException: a form that cannot be read or holds more files (400), or none (422).
    """
    if not request.headers.get("content-type", "").lower().startswith(FORM):
        body = await request.body()
        yield [UploadFile(io.BytesIO(body), size=len(body))]
        return
    async with request.form(max_files=most, max_fields=8) as form:
        found = [value for _, value in form.multi_items() if isinstance(value, UploadFile)]
        if not found:
            raise HTTPException(422, "There must be a file in the form: curl -F file=@photo.jpg …")
        yield found
