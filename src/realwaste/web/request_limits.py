"""The checks that every request passes first: host and origin, body size, number of requests; and security headers."""

from collections.abc import Iterable, Mapping
from urllib.parse import SplitResult, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

SECURITY_HEADERS = {
    # Everything comes from this server, nothing is inline; blob: and data: are the user's photograph and its heat map.
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' blob: data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}

FORM_CONTENT_TYPE = "multipart/form-data"
BODY_TOO_LARGE = "The body of a request may have at most {:g} MB."
PHOTO_TOO_LARGE = "A photo may have at most {:g} MB."
FORM_TOO_LARGE = "The photos of one request may have at most {:g} MB together."
BUSY_MESSAGE = "Too many photos are waiting for a prediction; try again."
RETRY_AFTER = {"retry-after": "5"}  # seconds

_MAX_DRAINED = 8  # times the body limit; after that the connection is closed while the client still sends


class RequestGuard:
    """ASGI middleware that refuses requests before the application reads them.

    Custom code, because neither Starlette nor uvicorn limits the size of a body, checks the origin, or counts only
    uploads; and TrustedHostMiddleware answers in plain text where every error of this server is JSON.

    Args:
        max_body_bytes: size of a request's body, counted while it is received, so that no more is held in memory.
        allowed_hosts: host names that requests may address, without port; None for any. The owner of another site could
            let its name resolve to this machine, and its pages would then have the same origin as this server.
        max_requests: requests in progress, those of disconnected clients included; one more POST is refused. The
            application reads from scope["free_slots"] how many more would be accepted.
        max_form_bytes: size of a form, which may contain several photos; None for an application without photos.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        max_body_bytes: int,
        allowed_hosts: Iterable[str] | None,
        max_requests: int,
        max_form_bytes: int | None = None,
    ) -> None:
        self._app = app
        self._max_body_bytes = max_body_bytes
        self._max_form_bytes = max_form_bytes or max_body_bytes
        self._body_too_large = BODY_TOO_LARGE if max_form_bytes is None else PHOTO_TOO_LARGE
        self._form_too_large = BODY_TOO_LARGE if max_form_bytes is None else FORM_TOO_LARGE
        self._allowed_hosts = None if allowed_hosts is None else frozenset(allowed_hosts)
        self._free_slots = max_requests

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(SECURITY_HEADERS)
            await send(message)

        headers = Headers(scope=scope)
        is_form = headers.get("content-type", "").lower().startswith(FORM_CONTENT_TYPE)
        max_bytes = self._max_form_bytes if is_form else self._max_body_bytes
        rule = self._form_too_large if is_form else self._body_too_large
        size_error = rule.format(max_bytes / 1e6)
        refusal = self._check(headers, scope["method"], max_bytes, size_error)
        if refusal is not None:
            # A client that sends this header waits for permission before it sends the body.
            if "expect" not in headers:
                await _drain_body(receive, max_bytes)
            await refusal(scope, receive, send_with_headers)
            return
        # HEAD is handled like GET; uvicorn sends no body.
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        guarded_scope = {**scope, "method": method, "free_slots": self._free_slots}
        self._free_slots -= 1
        try:
            await self._app(guarded_scope, _limit_body(receive, max_bytes, size_error), send_with_headers)
        finally:
            self._free_slots += 1

    def _check(self, headers: Headers, method: str, max_bytes: int, size_error: str) -> JSONResponse | None:
        """The response to a request that is refused; None for one that may pass."""
        host, origin = headers.get("host", ""), headers.get("origin")
        if self._allowed_hosts is not None and _split_url(f"//{host}").hostname not in self._allowed_hosts:
            return _error(400, f"This server does not have the name {host!r}.")
        if origin is not None and method not in {"GET", "HEAD"} and _split_url(origin).netloc != host:
            return _error(403, f"Pages of other sites may not send requests here; this one came from {origin!r}.")
        # RFC 9112, 6.1: a proxy in between may read the other length.
        if "transfer-encoding" in headers and "content-length" in headers:
            return _error(400, "A request may state one length of its body, not two.", {"connection": "close"})
        if self._free_slots <= 0 and method == "POST":
            return _error(503, BUSY_MESSAGE, RETRY_AFTER)
        length = headers.get("content-length", "0")
        if length.isdecimal() and int(length) > max_bytes:
            return _error(413, size_error)
        return None


def _limit_body(receive: Receive, max_bytes: int, size_error: str) -> Receive:
    """`receive`, which raises HTTPException 413 once the body exceeds `max_bytes`."""
    received_bytes = 0

    async def receive_and_count() -> Message:
        nonlocal received_bytes
        message = await receive()
        received_bytes += len(message.get("body", b""))
        if received_bytes > max_bytes:
            if message.get("more_body"):
                await _drain_body(receive, max_bytes)
            raise HTTPException(413, size_error)
        return message

    return receive_and_count


async def _drain_body(receive: Receive, max_bytes: int) -> None:
    """Read and discard the rest: many clients read the response only after sending everything."""
    drained_bytes = 0
    while drained_bytes < _MAX_DRAINED * max_bytes:
        message = await receive()
        if not message.get("more_body"):
            return
        drained_bytes += len(message["body"])


def _split_url(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError:  # unbalanced brackets
        return urlsplit("")


def _error(status: int, message: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"error": message}, status, headers)
