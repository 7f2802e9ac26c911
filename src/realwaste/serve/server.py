"""The process that serves: a socket, the model, and uvicorn between them."""

import contextlib
import ipaddress
import logging
import socket
from collections.abc import Callable

import uvicorn
from fastapi import FastAPI

from realwaste.classifier.model_file import Classifier
from realwaste.classifier.session import Session
from realwaste.core.errors import UserError
from realwaste.core.log import logger
from realwaste.serve.access_log import to_standard_output
from realwaste.serve.app import Uploads, build
from realwaste.serve.connection import Connection, Limits
from realwaste.serve.predictor import Predictor, UndefinedAnswerError


def run(
    asked: Session,
    load: Callable[[], Classifier],
    listening: socket.socket,
    *,
    hosts: tuple[str, ...] | None,
    uploads: Uploads,
    access_log: bool = False,
) -> None:
    """Serve until interrupted.

    Args:
        load: as of Predictor.
        listening: as `address.bound` gives it; closed at the end.
        hosts: as `address.names` gives them.
        access_log: whether to write a line a request to standard output.

    Raises:
        UserError: a model whose output is no number.
    """
    address, port = listening.getsockname()[:2]
    if not ipaddress.ip_address(address).is_loopback:
        logger.warning("%s is no loopback address: whoever reaches this machine can use the model", address)
    predictor = Predictor(asked, load)
    try:
        predictor.warm_up()
    except UndefinedAnswerError as error:
        rule, remedy = "A model to serve must answer in numbers.", "Train it again, or give another by --model."
        raise UserError(rule, remedy, str(error)) from None
    limits = Limits()
    access = to_standard_output() if access_log else None
    app = build(predictor, uploads=uploads, hosts=hosts, requests=limits.requests, access=access)
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
