"""The process of `serve`: it opens the model while uvicorn already answers on the socket."""

import asyncio
import contextlib
import ipaddress
import logging
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing

import uvicorn
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from realwaste.core.environment import sigterm_as_interrupt
from realwaste.core.errors import UserError
from realwaste.core.log import logger
from realwaste.models.model_file import Classifier
from realwaste.models.session import Session
from realwaste.web.access_log import stdout_writer
from realwaste.web.app import build
from realwaste.web.connection import ConnectionLimits, LimitedConnection
from realwaste.web.predict_route import UploadLimits
from realwaste.web.predictor import Predictor, UndefinedPredictionError
from realwaste.web.request_limits import RETRY_AFTER, SECURITY_HEADERS

_PROBES = frozenset({"/health", "/health/ready"})
_POLL_SECONDS = 0.1  # how often to look for the application, which another thread creates


class StartUpApp:
    """ASGI application that reports "alive, not ready", and forwards requests to `app` once that is set.

    Health probes are answered at once. Other requests wait, at most `max_requests`, so that a page that was opened too
    early appears. Custom code, because uvicorn answers nothing before the start-up of an application has ended.
    """

    def __init__(self, max_requests: int) -> None:
        self.app: ASGIApp | None = None
        self._free_slots = max_requests

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if app := self.app or await self._wait_for_app(scope["path"]):
            await app(scope, receive, send)
        elif scope["path"] == "/health":
            body = {"status": "ok", "model": None, "ready": False}  # as schemas.Health
            await JSONResponse(body, headers=SECURITY_HEADERS)(scope, receive, send)
        else:
            await _unavailable("The model is being loaded; try again.")(scope, receive, send)

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


def _unavailable(message: str) -> JSONResponse:
    return JSONResponse({"error": message}, 503, SECURITY_HEADERS | RETRY_AFTER)


def run(
    open_session: Callable[[], Session],
    load_classifier: Callable[[], Classifier],
    listening_socket: socket.socket,
    *,
    allowed_hosts: tuple[str, ...] | None,
    upload_limits: UploadLimits,
    access_log: bool = False,
) -> None:
    """Serve until SIGINT or SIGTERM. Call it from the main thread, which receives signals.

    Args:
        open_session: opens the model for prediction; meanwhile the server reports that it is not ready.
        load_classifier: see Predictor.
        listening_socket, allowed_hosts: from realwaste.web.address; the socket is closed at the end.
        access_log: whether to write one line per request to standard output.

    Raises:
        UserError: the model cannot be opened, or its output is NaN or infinite.
    """
    limits = ConnectionLimits()
    start_up_app = StartUpApp(limits.max_requests)
    with (
        contextlib.suppress(KeyboardInterrupt),
        sigterm_as_interrupt(),
        listening_socket,
        contextlib.ExitStack() as after_last_response,
        _run_in_background(start_up_app, limits, listening_socket) as server_ended,
    ):
        predictor = after_last_response.enter_context(closing(_create_predictor(open_session(), load_classifier)))
        start_up_app.app = build(
            predictor,
            upload_limits=upload_limits,
            allowed_hosts=allowed_hosts,
            max_requests=limits.max_requests,
            write_access_log=stdout_writer() if access_log else None,
        )
        _log_address(listening_socket, predictor.metadata.name)
        predictor.prepare_grad_cam()
        server_ended.wait()


@contextlib.contextmanager
def _run_in_background(
    app: ASGIApp, limits: ConnectionLimits, listening_socket: socket.socket
) -> Iterator[threading.Event]:
    """A server thread that ends with the block; the event is set if the server ends by itself."""
    server, server_ended = uvicorn.Server(uvicorn_config(app, limits)), threading.Event()

    def serve() -> None:
        try:
            server.run([listening_socket])
        finally:
            server_ended.set()

    thread = threading.Thread(target=serve, name="server")
    thread.start()
    try:
        yield server_ended  # an interrupted Thread.join takes the thread for ended (Python 3.11); an event does not
    finally:
        server.should_exit = True
        thread.join()


def _create_predictor(session: Session, load_classifier: Callable[[], Classifier]) -> Predictor:
    predictor = Predictor(session, load_classifier)
    try:
        predictor.warm_up()
    except UndefinedPredictionError as error:
        predictor.close()
        rule, remedy = "A served model must output finite numbers.", "Train it again, or choose another with --model."
        raise UserError(rule, remedy, str(error)) from None
    return predictor


def _log_address(listening_socket: socket.socket, model_name: str) -> None:
    address, port = listening_socket.getsockname()[:2]
    if not ipaddress.ip_address(address).is_loopback:
        logger.warning("%s is not a loopback address: everyone who reaches this machine can use the model", address)
    host = f"[{address}]" if ":" in address else address
    logger.info("%s answers at http://%s:%d/ (Ctrl-C ends it)", model_name, host, port)


def _respond_when_cancelled(app: ASGIApp) -> ASGIApp:
    """`app`, which answers 503 to the requests that uvicorn cancels at the end of its shutdown timeout."""

    async def respond(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await app(scope, receive, send)
        except asyncio.CancelledError:
            await _unavailable("The server is shutting down; try again.")(scope, receive, send)

    return respond


def uvicorn_config(app: ASGIApp, limits: ConnectionLimits) -> uvicorn.Config:
    """uvicorn with LimitedConnection, which logs errors only, through Python's default handler.

    uvicorn's own log writes a line per request, and both uvicorn and the form parser warn of each malformed request:
    anybody could fill a disk.
    """
    logging.getLogger("python_multipart").setLevel(logging.ERROR)
    return uvicorn.Config(
        _respond_when_cancelled(app),
        http=type("LimitedConnection", (LimitedConnection,), {"limits": limits}),
        log_config=None,
        log_level="error",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ws="none",
        lifespan="off",
        timeout_graceful_shutdown=5,
    )
