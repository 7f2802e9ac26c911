"""The application that answers while the model is loaded: seconds, or half a minute the first time a file is used."""

import asyncio

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from realwaste.web.request_limits import RETRY_AFTER, SECURITY_HEADERS
from realwaste.web.schemas import LOADING

_PROBES = frozenset({"/health", "/health/ready"})
_POLL_SECONDS = 0.1  # how often to look for the application, which another thread creates


class StartUpApp:
    """ASGI application that reports "alive, not ready", and forwards requests to `app` once that is set.

    Health probes are answered at once. Other requests wait, so that a page that was opened too early appears.

    Args:
        max_requests: requests that may wait; one more is refused.
    """

    def __init__(self, max_requests: int) -> None:
        self.app: ASGIApp | None = None
        self._free_slots = max_requests

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _complete_lifespan(receive, send)
        elif app := self.app or await self._wait_for_app(scope["path"]):
            await app(scope, receive, send)
        elif scope["path"] == "/health":
            await JSONResponse(LOADING, headers=SECURITY_HEADERS)(scope, receive, send)
        else:
            body = {"error": "The model is being loaded; try again."}
            await JSONResponse(body, 503, SECURITY_HEADERS | RETRY_AFTER)(scope, receive, send)

    async def _wait_for_app(self, path: str) -> ASGIApp | None:
        """The application; None for a request that is answered before it is there."""
        if path in _PROBES or self._free_slots <= 0:
            return None
        self._free_slots -= 1
        try:
            while self.app is None:
                await asyncio.sleep(_POLL_SECONDS)
        finally:
            self._free_slots += 1
        return self.app


async def _complete_lifespan(receive: Receive, send: Send) -> None:
    """Acknowledge start-up and shutdown; there is nothing to prepare here."""
    for event in ("startup", "shutdown"):
        await receive()
        await send({"type": f"lifespan.{event}.complete"})
