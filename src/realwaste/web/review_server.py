"""The process that serves the page: a socket, and uvicorn as `realwaste serve` has it."""

import contextlib
import socket

import uvicorn

from realwaste.core.log import logger
from realwaste.core.termination import sigterm_as_interrupt
from realwaste.web.address import names
from realwaste.web.connection import Limits
from realwaste.web.review_app import build
from realwaste.web.review_journal import Journal
from realwaste.web.review_queue import RAW, Queue
from realwaste.web.server import configured


def run(queue: Queue, listening: socket.socket) -> None:
    """Serve until interrupted or told to end by SIGTERM.

    Args:
        listening: on a loopback address, as serve.address.bound gives it; closed at the end.

    Raises:
        UserError: relabel.yaml cannot be read.
    """
    host, port = listening.getsockname()[:2]
    journal = Journal(queue.manifest, RAW)
    labels = journal.labels()
    decided = sum(path in labels for path in queue.suspects["path"])
    limits = Limits()
    app = build(queue, journal, hosts=names(listening, host), requests=limits.requests)
    text = "%d labels to decide, %d of them decided: http://%s:%d/ (Ctrl-C ends it)"
    logger.info(text, len(queue.suspects), decided, host, port)
    with contextlib.suppress(KeyboardInterrupt), sigterm_as_interrupt(), listening:
        uvicorn.Server(configured(app, limits)).run(sockets=[listening])
