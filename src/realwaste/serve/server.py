"""The process that serves: a socket, the model, and uvicorn between them."""

import contextlib
import socket

import uvicorn

from realwaste.errors import UserError
from realwaste.log import logger
from realwaste.model_file import Classifier
from realwaste.serve.address import names
from realwaste.serve.answerer import Answerer, UndefinedAnswerError
from realwaste.serve.app import build

# Each may hold an upload in memory while the model works on another.
_CONNECTIONS = 32


def run(classifier: Classifier, listening: socket.socket, *, host: str, limit: int) -> None:
    """Serve until interrupted.

    Args:
        listening: as `address.bound` gives it; closed at the end.
        host: what the person called it.
        limit: bytes that a photograph may have.

    Raises:
        UserError: a model whose output is no number.
    """
    address, port = listening.getsockname()[:2]
    hosts = names(listening, host)
    if hosts is None:
        logger.warning("%s is no loopback address: whoever reaches this machine can use the model", address)
    answerer = Answerer(classifier)
    try:
        answerer.warm_up()
    except UndefinedAnswerError as error:
        rule, remedy = "A model to serve must answer in numbers.", "Train it again, or give another by --model."
        raise UserError(rule, remedy, str(error)) from None
    app = build(answerer, limit=limit, hosts=hosts)
    # Not uvicorn's own logging: it writes a line a request. Its errors come by Python's last resort.
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ws="none",
        limit_concurrency=_CONNECTIONS,
        timeout_graceful_shutdown=5,
    )
    shown = f"[{address}]" if ":" in address else address
    logger.info("%s answers at http://%s:%d/ (Ctrl-C ends it)", classifier.facts.name, shown, port)
    with contextlib.suppress(KeyboardInterrupt), listening:
        uvicorn.Server(config).run(sockets=[listening])
