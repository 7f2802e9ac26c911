"""The process that serves: a socket, the model, and uvicorn between them."""

import asyncio
import contextlib
import ipaddress
import logging
import signal
import socket
import threading
from collections.abc import Callable, Iterator

import uvicorn
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from realwaste.core.errors import UserError
from realwaste.core.log import logger
from realwaste.models.model_file import Classifier
from realwaste.models.session import Session
from realwaste.web.access_log import to_standard_output
from realwaste.web.app import Uploads, build
from realwaste.web.connection import Connection, Limits
from realwaste.web.predictor import Predictor, UndefinedAnswerError
from realwaste.web.request_limits import HEADERS, RETRY
from realwaste.web.start_up_app import Starting


def run(
    open_session: Callable[[], Session],
    load: Callable[[], Classifier],
    listening: socket.socket,
    *,
    hosts: tuple[str, ...] | None,
    uploads: Uploads,
    access_log: bool = False,
) -> None:
    """Serve until interrupted or told to end; from the main thread alone, to which signals come.

    Args:
        open_session: gives what answers; meanwhile the server says that it is not ready.
        load: as of Predictor.
        listening: as `address.bound` gives it; closed at the end.
        hosts: as `address.names` gives them.
        access_log: whether to write a line a request to standard output.

    Raises:
        UserError: a model whose output is no number, or that cannot be opened.
    """
    limits, access = Limits(), to_standard_output() if access_log else None
    starting = Starting(limits.requests)
    with (
        contextlib.suppress(KeyboardInterrupt),
        _interrupted_to_end(),
        listening,
        contextlib.ExitStack() as after_answers,
        _in_background(starting, limits, listening) as ended,
    ):
        predictor = _ready(open_session(), load)
        after_answers.callback(predictor.close)
        starting.app = build(predictor, uploads=uploads, hosts=hosts, requests=limits.requests, access=access)
        _say_where(listening, predictor.facts.name)
        predictor.prepare_heat()
        ended.wait()


@contextlib.contextmanager
def _interrupted_to_end() -> Iterator[None]:
    """SIGTERM, as of Docker and systemd, does what Ctrl-C does."""
    kept = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, kept)


@contextlib.contextmanager
def _in_background(app: ASGIApp, limits: Limits, listening: socket.socket) -> Iterator[threading.Event]:
    """A server, which ends with the block; the event is set where it ends by itself."""
    server, ended = uvicorn.Server(configured(app, limits)), threading.Event()

    def serve() -> None:
        try:
            server.run([listening])
        finally:
            ended.set()

    running = threading.Thread(target=serve, name="server")
    running.start()
    try:
        yield ended  # to wait for: a thread's join, once interrupted, takes it for ended (Python 3.11)
    finally:
        server.should_exit = True
        running.join()


def _ready(asked: Session, load: Callable[[], Classifier]) -> Predictor:
    predictor = Predictor(asked, load)
    try:
        predictor.warm_up()
    except UndefinedAnswerError as error:
        predictor.close()
        rule, remedy = "A model to serve must answer in numbers.", "Train it again, or give another by --model."
        raise UserError(rule, remedy, str(error)) from None
    return predictor


def _say_where(listening: socket.socket, name: str) -> None:
    address, port = listening.getsockname()[:2]
    if not ipaddress.ip_address(address).is_loopback:
        logger.warning("%s is no loopback address: whoever reaches this machine can use the model", address)
    logger.info(
        "%s answers at http://%s:%d/ (Ctrl-C ends it)", name, f"[{address}]" if ":" in address else address, port
    )


def _answering_to_the_end(app: ASGIApp) -> ASGIApp:
    """`app`, whose requests that uvicorn cancels, when the grace of a server that ends is over, are answered too."""

    async def answering(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await app(scope, receive, send)
        except asyncio.CancelledError:
            ending = JSONResponse({"error": "The server is ending; try again."}, 503, HEADERS | RETRY)
            await ending(scope, receive, send)

    return answering


def configured(app: ASGIApp, limits: Limits) -> uvicorn.Config:
    """uvicorn with this project's connections, and silent but for errors, which come by Python's last resort.

    Its own logging writes a line a request; and it, and the reader of forms, a warning for each that is none, by which
    anybody could fill a disk.
    """
    logging.getLogger("python_multipart").setLevel(logging.ERROR)
    return uvicorn.Config(
        _answering_to_the_end(app),
        http=type("LimitedConnection", (Connection,), {"limits": limits}),
        log_config=None,
        log_level="error",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ws="none",
        timeout_graceful_shutdown=5,
    )
