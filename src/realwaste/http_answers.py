"""What a server's status and headers say of the file behind them (RFC 9110)."""

import re
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

import httpx

from realwaste.errors import UserError


class FailedAttemptError(Exception):
    """This attempt came to nothing, but another may do better.

    Attributes:
        wait: what the server asked for, in seconds.
        part_is_wrong: the bytes kept so far are of no use to any other attempt.
    """

    def __init__(self, what: str, wait: float = 0.0, *, part_is_wrong: bool = False) -> None:
        super().__init__(what)
        self.wait = wait
        self.part_is_wrong = part_is_wrong


def judge(response: httpx.Response, address: str, offset: int, validator: str) -> tuple[int, int | None]:
    """(first byte, length of the whole file or None) of an answer worth reading.

    Args:
        address: for messages.
        offset: of the first byte that was asked for.
        validator: of the bytes before it; the answer must belong to the same version.

    Raises:
        FailedAttemptError: another attempt may do better.
        UserError: none will.
    """
    status = response.status_code
    if status == 429 or status >= 500:
        raise FailedAttemptError(f"status {status} {response.reason_phrase}", _retry_after(response))
    if status == 416 and offset:
        raise FailedAttemptError(f"the server has no bytes from {offset} on", part_is_wrong=True)
    if status not in (200, 206):
        raise UserError(
            f"The server must offer a file at {address}.",
            "Check the address in a browser.",
            f"status {status} {response.reason_phrase}",
        )
    _check_kind(response, address)
    if status == 200:
        return 0, _content_length(response)
    span = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("content-range", ""))
    if span is None or int(span[1]) != offset or (offset and validator_of(response) not in ("", validator)):
        raise FailedAttemptError("the server sent another range or version than was asked for", part_is_wrong=True)
    return offset, whole_length(response)


def _check_kind(response: httpx.Response, address: str) -> None:
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind in ("text/html", "application/xhtml+xml"):
        raise UserError(
            f"The server must send a file at {address}, not a web page.",
            "Open the address in a browser: a login page, a consent page or a moved file is likely.",
            f"Content-Type {kind}",
        )
    if response.headers.get("content-encoding", "identity").strip().lower() not in ("identity", ""):
        raise UserError(
            f"The server must send {address} as it is, as asked by Accept-Encoding: identity.",
            "Give another address.",
            f"Content-Encoding {response.headers['content-encoding']}",
        )


def validator_of(response: httpx.Response) -> str:
    """What names this version of the file byte for byte, or "" when nothing does (RFC 9110, 8.8 and 13.1.5)."""
    etag: str = response.headers.get("etag", "")
    if etag.startswith('"'):
        return etag
    try:
        changed: str = response.headers["last-modified"]
        age = parsedate_to_datetime(response.headers["date"]) - parsedate_to_datetime(changed)
    except (KeyError, ValueError, TypeError):
        return ""
    # A file changed twice in one second keeps its date: only an old date is a strong one.
    return changed if age >= timedelta(minutes=1) else ""


def _content_length(response: httpx.Response) -> int | None:
    """The body's length; None when it comes in chunks, where the header would mean nothing."""
    if "transfer-encoding" in response.headers or "content-length" not in response.headers:
        return None
    return int(response.headers["content-length"])


def whole_length(response: httpx.Response) -> int | None:
    """The length of the whole file after the slash of Content-Range."""
    found = re.fullmatch(r"bytes .*/(\d+)", response.headers.get("content-range", ""))
    return None if found is None else int(found[1])


def _retry_after(response: httpx.Response) -> float:
    asked = response.headers.get("retry-after", "").strip()
    if asked.isdecimal():
        return float(asked)
    with suppress(ValueError, TypeError):
        return max(0.0, (parsedate_to_datetime(asked) - datetime.now(UTC)).total_seconds())
    return 0.0
