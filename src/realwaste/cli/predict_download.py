"""Downloads a photograph from a URL, within limits of time and size.

The downloader in realwaste.sources is for large archives: it resumes for days, and would never finish the video stream
of a camera.
"""

import time

import requests
import urllib3

from realwaste.core.time_limit import call_within
from realwaste.images.reader import MAX_BYTES, UnreadableImageError

_MAX_SILENCE_S, _MAX_DURATION_S = 10.0, 120.0
_OTHER_CONTENT = {"text/html": "a web page, not a photograph", "multipart/x-mixed-replace": "a video, not a photograph"}
# The first match is used. The messages do not quote the URL, which may contain secrets.
_REASONS: tuple[tuple[type[Exception], str], ...] = (
    (requests.exceptions.Timeout, "the server is too slow"),
    (urllib3.exceptions.TimeoutError, "the server is too slow"),
    (TimeoutError, "the server is too slow"),
    (urllib3.exceptions.ProtocolError, "the connection was interrupted"),
    (requests.exceptions.SSLError, "the server's certificate is invalid"),
    (requests.exceptions.TooManyRedirects, "too many redirects"),
    (requests.exceptions.ChunkedEncodingError, "the connection was interrupted"),
    (requests.exceptions.ConnectionError, "no connection to the server"),
)


def download(url: str) -> bytes:
    """The bytes at an http or https URL; UnreadableImageError with the reason if the download fails."""
    try:
        return bytes(call_within(_MAX_DURATION_S, _receive, url, time.monotonic() + _MAX_DURATION_S))
    except (requests.RequestException, urllib3.exceptions.HTTPError, TimeoutError, ValueError) as error:
        reasons = (reason for kind, reason in _REASONS if isinstance(error, kind))
        raise UnreadableImageError(f"cannot be fetched: {next(reasons, type(error).__name__)}") from None


def _receive(url: str, deadline: float) -> bytes:
    with requests.get(url, headers={"User-Agent": "realwaste"}, stream=True, timeout=_MAX_SILENCE_S) as response:
        if response.status_code != requests.codes.ok:
            reason = f"the server answers {response.status_code} {response.reason}"
            raise UnreadableImageError(f"cannot be fetched: {reason}")
        content_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        if content_type in _OTHER_CONTENT:
            raise UnreadableImageError(_OTHER_CONTENT[content_type])
        data = bytearray()
        # read1 returns whatever has arrived, so that the deadline is checked even if bytes arrive slowly.
        while chunk := response.raw.read1(1 << 16, decode_content=True):
            data += chunk
            if len(data) > MAX_BYTES:
                raise UnreadableImageError(f"more than {MAX_BYTES:,} bytes")
            if time.monotonic() > deadline:
                raise TimeoutError
        return bytes(data)
