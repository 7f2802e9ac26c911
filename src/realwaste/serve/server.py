"""The process that serves: a socket, the model, and uvicorn between them."""

import contextlib
import logging
import socket
from collections.abc import Callable

import uvicorn
from fastapi import FastAPI

from realwaste.classifier.model_file import Classifier
from realwaste.classifier.session import Session
from realwaste.core.errors import UserError
from realwaste.core.log import logger
from realwaste.serve.address import names
from realwaste.serve.app import build
from realwaste.serve.connection import Connection, Limits
from realwaste.serve.predictor import Predictor, UndefinedAnswerError


def run(asked: Session, load: Callable[[], Classifier], listening: socket.socket, *, host: str, limit: int) -> None:
    """Serve until interrupted.

    Args:
        load: as of Predictor.
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
    predictor = Predictor(asked, load)
    try:
        predictor.warm_up()
    except UndefinedAnswerError as error:
        rule, remedy = "A model to serve must answer in numbers.", "Train it again, or give another by --model."
        raise UserError(rule, remedy, str(error)) from None
    limits = Limits()
    app = build(predictor, limit=limit, hosts=hosts, requests=limits.requests)
    shown = f"[{address}]" if ":" in address else address
    logger.info("%s answers at http://%s:%d/ (Ctrl-C ends it)", asked.facts.name, shown, port)
    with contextlib.suppress(KeyboardInterrupt), listening:
        uvicorn.Server(configured(app, limits)).run(sockets=[listening])


def configured(app: FastAPI, limits: Limits) -> uvicorn.Config:
    """uvicorn with this project's connections, and silent but for errors, which come by Python's last resort.

    Its own logging writes a line a request; and it, and the reader of forms, a warning for each that is none, by which
    anybody could fill a disk.
    """
    logging.getLogger("python_multipart").setLevel(logging.ERROR)
    return uvicorn.Config(
        app,
        http=type("LimitedConnection", (Connection,), {"limits": limits}),
        log_config=None,
        log_level="error",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ws="none",
        timeout_graceful_shutdown=5,
    )
