"""What is answered while the model is loaded, which takes seconds, and half a minute for a file that is new here."""

import asyncio

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from realwaste.web.request_limits import HEADERS, RETRY
from realwaste.web.schemas import LOADING

_PROBES = frozenset({"/health", "/health/ready"})
_LOOK = 0.1  # seconds between looks for the application, which another thread makes


class Starting:
    """ASGI application that is alive and not ready, and hands over to `app` once that is there.

    Probes are answered at once. Any other request waits: whoever has opened the page too early sees it come.

    Args:
        requests: that may wait; one more is refused.
    """

    def __init__(self, requests: int) -> None:
        self.app: ASGIApp | None = None
        self._free = requests

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _lived(receive, send)
        elif app := self.app or await self._waited_for(scope["path"]):
            await app(scope, receive, send)
        elif scope["path"] == "/health":
            await JSONResponse(LOADING, headers=HEADERS)(scope, receive, send)
        else:
            said = {"error": "The model is being loaded; try again."}
            await JSONResponse(said, 503, HEADERS | RETRY)(scope, receive, send)

    async def _waited_for(self, path: str) -> ASGIApp | None:
        """The application; None for who is to be answered before it is there."""
        if path in _PROBES or self._free <= 0:
            return None
        self._free -= 1
        try:
            while self.app is None:
                await asyncio.sleep(_LOOK)
        finally:
            self._free += 1
        return self.app


async def _lived(receive: Receive, send: Send) -> None:
    """The life of a server that has nothing to prepare here."""
    for moment in ("startup", "shutdown"):
        await receive()
        await send({"type": f"lifespan.{moment}.complete"})
