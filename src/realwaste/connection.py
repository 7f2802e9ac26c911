"""The way to a server: the client, the look-up of its name, and a line that is cut when time is up."""

import socket
import ssl
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any, Self
from urllib.request import getproxies, proxy_bypass

import httpx

from realwaste.errors import UserError


def client() -> httpx.Client:
    """One that takes files as they are and asks no proxy for this machine; UserError for a proxy that cannot be."""
    try:
        return httpx.Client(
            headers={"Accept-Encoding": "identity", "User-Agent": "realwaste"},
            # A proxy's localhost is not ours.
            mounts={"all://localhost": None, "all://127.0.0.1": None, "all://[::1]": None},
        )
    except (ValueError, ImportError) as error:
        rule = "The proxy in HTTP_PROXY, HTTPS_PROXY or ALL_PROXY must be an http:// or https:// address."
        raise UserError(rule, "Mend or unset the variable.", str(error)) from error


class Line:
    """The socket in use, learnt from httpx's trace, so that the time limit cuts even a header that trickles in."""

    def __init__(self, seconds: float) -> None:
        self.deadline = time.monotonic() + seconds
        self.connected = False
        self._socket: socket.socket | None = None
        self._timer = threading.Timer(max(0.0, seconds), self._cut)
        self._timer.daemon = True

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._timer.cancel()
        self._timer.join()

    def left(self) -> float:
        """Seconds until the line is cut; negative afterwards."""
        return self.deadline - time.monotonic()

    def trace(self, event: str, info: Mapping[str, Any]) -> None:
        """Called by httpx at each step of a connection."""
        if event.endswith((".connect_tcp.complete", ".start_tls.complete")):
            self.connected = True
            self._socket = info["return_value"].get_extra_info("socket")
            if self.left() <= 0:
                self._cut()

    def _cut(self) -> None:
        if self._socket is not None:
            with suppress(OSError):  # gone already
                # The plain socket's method: an SSLSocket's own would pull its state from under the reading thread.
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)


def look_up(url: httpx.URL, timeout: float) -> None:
    """Raise httpx.ConnectError when the name is not found in time: the resolver itself knows no limit.

    A proxy does its own look-ups.
    """
    if not proxy_bypass(url.host) and any(getproxies().get(scheme) for scheme in (url.scheme, "all")):
        return
    problems: list[str] = []

    def ask() -> None:
        try:
            socket.getaddrinfo(url.raw_host.decode("ascii"), url.port or url.scheme, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            problems.append(f"the name {url.host} was not found ({error})")

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(timeout)
    if thread.is_alive():
        problems.append(f"no answer to the look-up of {url.host} within {timeout:.0f} s")
    if problems:
        raise httpx.ConnectError(problems[0])


def check_certificate(error: httpx.TransportError, address: str) -> None:
    """UserError if TLS had something against the server of `address`; any other failure passes."""
    if isinstance(error, httpx.ConnectError) and (tls := _tls_error(error)) is not None:
        raise UserError(
            f"The server of {address} must prove by its certificate that it is the right one.",
            "Check the address and this machine's clock; behind a proxy that opens TLS, set SSL_CERT_FILE.",
            tls,
        ) from error


def _tls_error(error: BaseException | None) -> ssl.SSLError | None:
    """What TLS had against the server. A line that just broke off is not that."""
    while error is not None:
        if isinstance(error, ssl.SSLError):
            return None if isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError) else error
        error = error.__cause__ or error.__context__
    return None
