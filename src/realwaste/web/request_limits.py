"""What every request meets first: who may ask, how much they may send, and what browsers are told."""

from collections.abc import Iterable, Mapping
from urllib.parse import SplitResult, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADERS = {
    # Everything from this server, nothing inline; blob: and data: are the person's photograph and its heat.
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' blob: data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}

FORM = "multipart/form-data"

_DRAIN = 8  # times the limit; beyond that the connection is closed on whoever still sends

BUSY = "Too many photos are waiting for an answer; try again."
RETRY = {"retry-after": "5"}  # seconds


class Guard:
    """ASGI middleware that refuses requests before anything reads them.

    Args:
        app: what is guarded.
        limit: bytes that the body of a request may have; counted as they come, so that no more are kept.
        hosts: names that a request may call this server by, without port. A page of another site could have its own
            name resolve to this machine, and would then be of one origin with us. None for any name.
        requests: that may be in work at a time, those of clients that have gone included; a photo more is refused.
            The application finds in scope["free"] how many more would be taken.
        form_limit: the same as `limit`, of a form, which may hold several files; None for the same.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        limit: int,
        hosts: Iterable[str] | None,
        requests: int,
        form_limit: int | None = None,
    ) -> None:
        self._app = app
        self._limit = limit
        self._form_limit = form_limit or limit
        self._hosts = None if hosts is None else frozenset(hosts)
        self._free = requests

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        headers = Headers(scope=scope)
        is_form = headers.get("content-type", "").lower().startswith(FORM)
        limit = self._form_limit if is_form else self._limit
        refusal = all_too_large(limit) if limit != self._limit else too_large(limit)
        refused = self._refused(headers, scope["method"], limit, refusal)
        if refused is not None:
            # Who sends this header waits for our leave before the body.
            if "expect" not in headers:
                await _drained(receive, limit)
            await refused(scope, receive, send_with_headers)
            return
        # HTTP's rule for HEAD: as GET, and the server sends no body.
        asked = {**scope, "method": "GET" if scope["method"] == "HEAD" else scope["method"], "free": self._free}
        self._free -= 1
        try:
            await self._app(asked, _counted(receive, limit, refusal), send_with_headers)
        finally:
            self._free += 1

    def _refused(self, headers: Headers, method: str, limit: int, refusal: str) -> JSONResponse | None:
        host, origin = headers.get("host", ""), headers.get("origin")
        if self._hosts is not None and _parts(f"//{host}").hostname not in self._hosts:
            return _error(400, f"This server does not go by the name {host!r}.")
        if origin is not None and method not in {"GET", "HEAD"} and _parts(origin).netloc != host:
            return _error(403, f"Pages of other sites may not ask here; this one is of {origin!r}.")
        if "transfer-encoding" in headers and "content-length" in headers:  # RFC 9112, 6.1: a proxy may go by the other
            return _error(400, "A request may state one length of its body, not two.", {"connection": "close"})
        if self._free <= 0 and method == "POST":
            return _error(503, BUSY, RETRY)
        length = headers.get("content-length", "0")
        if length.isdecimal() and int(length) > limit:
            return _error(413, refusal)
        return None


def _counted(receive: Receive, limit: int, refusal: str) -> Receive:
    came = 0

    async def counting() -> Message:
        nonlocal came
        message = await receive()
        came += len(message.get("body", b""))
        if came > limit:
            if message.get("more_body"):
                await _drained(receive, limit)
            raise HTTPException(413, refusal)
        return message

    return counting


async def _drained(receive: Receive, limit: int) -> None:
    """Read the rest and drop it: many clients listen only when all is sent, and would see a broken connection."""
    dropped = 0
    while dropped < _DRAIN * limit:
        message = await receive()
        if not message.get("more_body"):
            return
        dropped += len(message["body"])


def _parts(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError:  # a bracket too many or too few
        return urlsplit("")


def too_large(limit: int) -> str:
    """The rule, in words."""
    return f"A photo may have {limit / 1e6:g} MB at most."


def all_too_large(limit: int) -> str:
    """The rule for a form, in words."""
    return f"The photos of one request may have {limit / 1e6:g} MB at most, all together."


def too_many_pixels(limit: int) -> str:
    """The rule for what they unpack to, in words."""
    return f"The photos of one request may have {limit / 1e6:g} million pixels at most, all together."


def _error(status: int, message: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"error": message}, status, headers)
