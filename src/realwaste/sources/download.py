"""The downloader that is handed to pooch, for what its own lacks.

It goes on by range where a line broke off, bounds every silence of a server, tries again with growing pauses, and tells
a server that answers wrongly from none. It never limits the whole: a slow line may take its days, at 1 KiB within each
`stall_timeout_s`.
"""

import re
import secrets
import shutil
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import requests
import urllib3
from requests.utils import get_environ_proxies, select_proxy
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from realwaste.core.errors import UnreachableError, UserError
from realwaste.core.log import console, is_quiet, logger
from realwaste.core.time_limit import call_within
from realwaste.sources.partial_download import PartFile
from realwaste.sources.stalled_download import StalledError, watched
from realwaste.sources.urls import file_name, shown

MAX_REDIRECTS = 10
LONGEST_WAIT_S = 120.0  # a server that asks for more patience than this is given up, not pestered
UNREACHABLE_TRIES = 2  # without a network people want their answer, not five rounds of backoff
PROGRESS_BYTES = 1 << 20  # an attempt that got this much further was no failure in a row
CHUNK = 1 << 16


@dataclass(frozen=True)
class Policy:
    """How patient a download is. `attempts` counts tries in a row that brought less than a further MiB."""

    connect_timeout_s: float = 10.0
    stall_timeout_s: float = 30.0
    attempts: int = 5
    backoff_s: float = 1.0


DEFAULT_POLICY = Policy()
Downloader = Callable[[str, str, object], None]


def downloader(part: Path, policy: Policy = DEFAULT_POLICY) -> Downloader:
    """What `pooch.retrieve` takes as its downloader: (url, output file, pooch) → None.

    Args:
        part: the file that gathers the bytes and outlives a kill. Beside it, `<part>.etag` says which version of the
            file they are of. One writer at a time: a caller that may run twice holds a lock, as download_cache does.

    The returned function raises:
        UnreachableError: no server took the connection, or the proxy let none through.
        UserError: anything else that went wrong with the server. The part stays where going on with it makes sense.
        OSError: the disk is full or not writable.
    """

    def bring(url: str, output_file: str, _: object) -> None:
        transfer = _Transfer(url, PartFile(part), policy)
        transfer.run()
        transfer.part.become(Path(output_file))

    return bring


class _FailedAttemptError(Exception):
    """This attempt came to nothing, but another may do better; `wait` is what the server asked for, in seconds."""

    def __init__(self, what: object, wait: float = 0.0) -> None:
        super().__init__(what)
        self.wait = wait


class _Transfer:
    """The attempts at one download, up to a whole part on disk."""

    def __init__(self, url: str, part: PartFile, policy: Policy) -> None:
        self.url, self.part, self.policy = url, part, policy
        self.shown = shown(url)
        self.proxy = select_proxy(url, get_environ_proxies(url))
        self.answered = False  # by the server itself, not by a proxy before it
        columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
        name = TextColumn("{task.description}", markup=False)
        self.bars = Progress(name, *columns, console=console, disable=is_quiet())
        self.task = self.bars.add_task(file_name(url), total=None)

    def run(self) -> None:
        failures, best = 0, self.part.size()
        try:
            while True:
                try:
                    return self._attempt()
                except _FailedAttemptError as failure:
                    if self.part.size() >= best + PROGRESS_BYTES:
                        failures, best = 0, self.part.size()
                    failures += 1
                    self._pause(failures, failure)
        finally:
            if self.bars.live.is_started:
                self.bars.stop()

    def _attempt(self) -> None:
        etag = self.part.version()
        offset = self.part.size() if etag else 0
        try:
            with requests.Session() as session, self._answer(session, offset, etag) as response:
                self.answered = True
                ranges = response.headers.get("content-range", "")
                if response.status_code == 416 and offset and ranges == f"bytes */{offset}":
                    return  # killed after the last byte: the server, asked with If-Range, says that nothing is missing
                self._receive(response, *self._judged(response, offset, etag))
        except requests.exceptions.SSLError as error:
            raise UserError(
                f"The server of {self.shown} must prove by its certificate that it is the right one.",
                "Check the address and this machine's clock; behind a proxy that opens TLS, set REQUESTS_CA_BUNDLE.",
                _reason(error),
            ) from error
        except (requests.RequestException, urllib3.exceptions.HTTPError, StalledError) as error:
            raise _FailedAttemptError(_reason(error)) from error

    def _answer(self, session: requests.Session, offset: int, etag: str) -> requests.Response:
        """The status and headers at the end of the redirects, within bounded time."""
        connect, stall = self.policy.connect_timeout_s, self.policy.stall_timeout_s
        if self.proxy is None:
            self._reach(connect)
        limit = connect + 2 * stall
        session.max_redirects = MAX_REDIRECTS
        headers = {"Accept-Encoding": "identity", "User-Agent": "realwaste"}
        headers |= {"Range": f"bytes={offset}-", "If-Range": etag} if offset else {}
        try:
            return call_within(limit, session.get, self.url, headers=headers, stream=True, timeout=(connect, stall))
        except (requests.exceptions.ProxyError, requests.exceptions.ConnectTimeout) as error:
            raise _FailedAttemptError(_reason(error)) from error
        except (requests.ConnectionError, requests.exceptions.InvalidHeader):
            self.answered = True
            raise
        except TimeoutError:
            raise _FailedAttemptError(f"no answer within {limit:g} s") from None
        except (ValueError, requests.TooManyRedirects, urllib3.exceptions.URLSchemeUnknown) as error:
            raise self._bad_address() from error

    def _reach(self, timeout: float) -> None:
        """A failed attempt unless somebody takes the connection: the resolver itself knows no limit."""
        parts = urlsplit(self.url)
        place = (parts.hostname, parts.port or {"http": 80, "https": 443}[parts.scheme])
        try:
            call_within(3 * timeout, lambda: socket.create_connection(place, timeout).close())
        except TimeoutError:
            raise _FailedAttemptError(f"no connection within {timeout:g} s") from None
        except (OSError, UnicodeError) as error:
            raise _FailedAttemptError(f"{parts.hostname}: {error}") from error
        self.answered = True

    def _bad_address(self) -> UserError:
        if self.proxy is not None:
            rule = f"The proxy {shown(self.proxy)} must be an http:// or https:// address."
            return UserError(rule, "Mend or unset HTTP_PROXY, HTTPS_PROXY or ALL_PROXY.")
        rule = f"{self.shown} must lead to an http:// or https:// address, by at most {MAX_REDIRECTS} redirects."
        return UserError(rule, "Give the final address.")

    def _judged(self, response: requests.Response, offset: int, etag: str) -> tuple[int, int | None]:
        """(first byte, length of the whole or None) of an answer worth reading (RFC 9110)."""
        status = f"status {response.status_code} {response.reason}"
        if response.status_code == 429 or response.status_code >= 500:
            raise _FailedAttemptError(status, urllib3.Retry().get_retry_after(response.raw) or 0.0)
        if response.status_code == 416 and offset:
            self.part.discard()
            raise _FailedAttemptError(f"the server has no bytes from {offset} on")
        if response.status_code not in (200, 206):
            rule = f"The server must offer a file at {self.shown}."
            raise UserError(rule, "Check the address in a browser.", status)
        kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind in ("text/html", "application/xhtml+xml"):
            remedy = "Open the address in a browser: a login page, a consent page or a moved file is likely."
            raise UserError(f"The server must send a file at {self.shown}, not a web page.", remedy, kind)
        if (coding := response.headers.get("content-encoding", "identity").lower()) not in ("identity", ""):
            rule = f"The server must send {self.shown} as it is, as asked by Accept-Encoding: identity."
            raise UserError(rule, "Give another address.", f"Content-Encoding {coding}")
        if response.status_code == 200:
            return 0, response.raw.length_remaining
        span = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("content-range", ""))
        if span is None or int(span[1]) != offset or (offset and response.headers.get("etag", etag) != etag):
            self.part.discard()
            raise _FailedAttemptError("the server sent another range or version than was asked for")
        return offset, None if span[2] == "*" else int(span[2])

    def _receive(self, response: requests.Response, start: int, total: int | None) -> None:
        if not start:
            self.part.begin(response.headers.get("etag", ""))
        free = shutil.disk_usage(self.part.path.parent).free
        if (needed := (total or 0) - start) > free:
            rule = f"The disk of {self.part.path.parent} must have {needed:,} bytes free for the download."
            raise UserError(rule, "Free space there, or choose another disk.", f"{free:,} bytes free")
        # reset, not update: bytes of an earlier run must not count as this run's speed
        self.bars.reset(self.task, total=total, completed=start)
        size, stall = start, self.policy.stall_timeout_s
        with self.part.path.open("ab") as file, watched(response, lambda: size, stall) as stalled:
            while (chunk := response.raw.read1(CHUNK, decode_content=False)) and not stalled.is_set():
                size += file.write(chunk)
                self.bars.start()  # once only, and not before a byte has come
                self.bars.update(self.task, completed=size)
        if total is not None and size != total:
            raise _FailedAttemptError(f"{size:,} of {total:,} bytes came")

    def _pause(self, failures: int, failure: _FailedAttemptError) -> None:
        """Wait for the next attempt, or say why there is none."""
        tries = self.policy.attempts if self.answered else min(UNREACHABLE_TRIES, self.policy.attempts)
        if failures >= tries or failure.wait > LONGEST_WAIT_S:
            raise self._given_up(failure, tries) from failure
        jitter = secrets.SystemRandom().uniform(0.5, 1.5)  # so that machines thrown off together do not return together
        wait = max(failure.wait, min(LONGEST_WAIT_S, self.policy.backoff_s * 2 ** (failures - 1) * jitter))
        logger.debug("%s: %s; attempt %d of %d in %.1f s", self.shown, failure, failures + 1, tries, wait)
        time.sleep(wait)

    def _given_up(self, failure: _FailedAttemptError, tries: int) -> UserError:
        if self.answered:
            rule = f"The download of {self.shown} must get through in {tries} attempts."
            kept = self.part.size() if self.part.version() else 0
            remedy = f"Run again: it goes on from the {kept:,} bytes kept." if kept else "Run again later."
            asked = f" (the server asks to wait {failure.wait:.0f} s)" if failure.wait else ""
            return UserError(rule, remedy, f"{failure}{asked}")
        if self.proxy is None:
            rule = f"A server must answer at {self.shown}, and none took the connection."
            return UnreachableError(rule, "Check the network, the proxy settings and the address.", str(failure))
        variable = f"{urlsplit(self.url).scheme.upper()}_PROXY"
        return UnreachableError(
            f"A server must answer at {self.shown}, and the proxy {shown(self.proxy)} let nothing through.",
            f"Set {variable} to a proxy that allows this host, or name the host in NO_PROXY if no proxy is needed.",
            str(failure),
        )


def _reason(error: Exception) -> str:
    """What went wrong, without the address, which requests and urllib3 write out with its tokens."""
    inner = error.args[0] if error.args else error
    reason = getattr(inner, "reason", None) or inner
    return str(reason) or type(error).__name__
