"""The photograph in a request: the body itself, or the file in a form."""

from fastapi import HTTPException, Request
from starlette.datastructures import UploadFile

FORM = "multipart/form-data"


async def photograph(request: Request) -> bytes:
    """The bytes of the one file that was sent.

    Raises:
        HTTPException: a form that cannot be read (400) or holds no file (422).
    """
    if not request.headers.get("content-type", "").lower().startswith(FORM):
        return await request.body()
    async with request.form(max_files=1, max_fields=8) as form:
        for value in form.values():
            if isinstance(value, UploadFile):
                return await value.read()
    raise HTTPException(422, "There must be a file in the form: curl -F file=@photo.jpg …")
