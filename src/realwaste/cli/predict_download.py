"""A photograph at an address, downloaded whole, within limits of time and size.

By hand: the downloader in realwaste.sources goes on for days, and with a camera's stream for ever.
"""

import time

import requests
import urllib3

from realwaste.core.time_limit import call_within
from realwaste.images.reader import MAX_BYTES, UnreadableImageError

_SILENCE_S, _WHOLE_S = 10.0, 120.0  # the longest that a server may be silent, and take for a whole photograph
_NO_PHOTOGRAPHS = {
    "text/html": "a web page, not a photograph",
    "multipart/x-mixed-replace": "a video, not a photograph",
}
# The first that fits; none of these texts has the address, which may hold secrets.
_REASONS: tuple[tuple[type[Exception], str], ...] = (
    (requests.exceptions.Timeout, "the server is too slow"),
    (urllib3.exceptions.TimeoutError, "the server is too slow"),
    (TimeoutError, "the server is too slow"),
    (urllib3.exceptions.ProtocolError, "the connection broke off"),
    (requests.exceptions.SSLError, "the server's certificate is not right"),
    (requests.exceptions.TooManyRedirects, "redirects without an end"),
    (requests.exceptions.ChunkedEncodingError, "the connection broke off"),
    (requests.exceptions.ConnectionError, "no connection to the server"),
)


def download(url: str) -> bytes:
    """The bytes at an http or https address.

    Raises:
        UnreadableImageError: none came, with the reason.
    """
    try:
        return bytes(call_within(_WHOLE_S, _received, url, time.monotonic() + _WHOLE_S))
    except (requests.RequestException, urllib3.exceptions.HTTPError, TimeoutError, ValueError) as error:
        reasons = (reason for kind, reason in _REASONS if isinstance(error, kind))
        raise UnreadableImageError(f"cannot be fetched: {next(reasons, type(error).__name__)}") from None


def _received(url: str, deadline: float) -> bytes:
    with requests.get(url, headers={"User-Agent": "realwaste"}, stream=True, timeout=_SILENCE_S) as answer:
        if answer.status_code != requests.codes.ok:
            raise UnreadableImageError(f"cannot be fetched: the server answers {answer.status_code} {answer.reason}")
        kind = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind in _NO_PHOTOGRAPHS:
            raise UnreadableImageError(_NO_PHOTOGRAPHS[kind])
        data = bytearray()
        # read1 gives what has come: each look at the clock comes in time, however slowly the bytes do.
        while chunk := answer.raw.read1(1 << 16, decode_content=True):
            data += chunk
            if len(data) > MAX_BYTES:
                raise UnreadableImageError(f"more than {MAX_BYTES:,} bytes")
            if time.monotonic() > deadline:
                raise TimeoutError
        return bytes(data)
