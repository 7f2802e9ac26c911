"""Names of the files that `predict` writes to a folder."""

import os

_NAME_BYTES = 255  # that a file's name may have


def file_name(text: str, end: str = "") -> str:
    """`text` and `end`, in UTF-8 where the locale is another, such as C, in which Python could not name a file so.

    Of a name that is longer than a file's name may be, `text` is cut.
    """
    room = _NAME_BYTES - len(end.encode("utf-8", "surrogateescape"))
    whole = text.encode("utf-8", "surrogateescape")
    cut = whole if len(whole) <= room else whole[:room].decode("utf-8", "ignore").encode()
    return os.fsdecode(cut + end.encode("utf-8", "surrogateescape"))
