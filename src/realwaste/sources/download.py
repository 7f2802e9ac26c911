"""Downloads large files, for days if need be: urllib3.Retry does not resume a body that broke off.

A broken download is resumed by a range request. Each silence of a server is limited, and retries have growing pauses. A
server that answers with an error is distinguished from no server. The total time is not limited: it is enough that
MIN_BYTES arrive within each STALL_TIMEOUT_S.
"""

import re
import secrets
import shutil
import socket
import time
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import requests
import urllib3
from requests.utils import get_environ_proxies, select_proxy
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from realwaste.core.errors import UnreachableError, UserError
from realwaste.core.log import console, is_quiet, logger
from realwaste.core.time_limit import call_within
from realwaste.sources.urls import file_name, without_secrets

CONNECT_TIMEOUT_S, STALL_TIMEOUT_S = 10.0, 30.0
ATTEMPTS = 5  # consecutive ones that each received less than PROGRESS_BYTES
BACKOFF_S = 1.0
MAX_REDIRECTS = 10
LONGEST_WAIT_S = 120.0  # a longer Retry-After ends the download
UNREACHABLE_TRIES = 2  # without a network the user should not wait for five attempts
PROGRESS_BYTES = 1 << 20  # an attempt that received this much resets the count of failures
CHUNK, MIN_BYTES = 1 << 16, 1 << 10


class _FailedAttemptError(Exception):
    """An attempt failed, but may be repeated after `wait` seconds, which the server requested."""

    def __init__(self, what: object, wait: float = 0.0) -> None:
        super().__init__(f"{what} (the server asks to wait {wait:.0f} s)" if wait else what)
        self.wait = wait


class Download:
    """A download to the file `part`. After a kill it remains, with `<part>.etag`, which names the version of its bytes.

    There may be only one writer at a time: download_cache holds a lock.
    """

    def __init__(self, url: str, part: Path) -> None:
        self.url, self.part = url, part
        self.etag, self.display_url = part.with_name(f"{part.name}.etag"), without_secrets(url)
        self.proxy = select_proxy(url, get_environ_proxies(url))
        self.server_answered = False  # the server itself, not a proxy
        columns = BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn()
        name = TextColumn("{task.description}", markup=False)
        self.bars = Progress(name, *columns, console=console, disable=is_quiet())
        self.task = self.bars.add_task(file_name(url), total=None)

    def run(self) -> None:
        """Attempt the download until `part` is complete.

        Raises:
            UnreachableError: no server accepted the connection, or the proxy refused it.
            UserError: any other error of the server. The part remains if the download can be resumed.
            OSError: the disk is full or not writable.
        """
        failures, best = 0, self._size()
        try:
            while True:
                try:
                    self._attempt()
                    self.etag.unlink(missing_ok=True)
                    return
                except _FailedAttemptError as failure:
                    if self._size() >= best + PROGRESS_BYTES:
                        failures, best = 0, self._size()
                    failures += 1
                    self._pause(failures, failure)
        finally:
            if self.bars.live.is_started:
                self.bars.stop()

    def _size(self) -> int:
        return self.part.stat().st_size if self.part.is_file() else 0

    def _version(self) -> str:
        """The ETag of the bytes on disk; "" without a strong ETag (RFC 9110, 13.1.5)."""
        etag = self.etag.read_text(encoding="utf-8", errors="replace") if self.etag.is_file() else ""
        return etag if etag.startswith('"') and etag.isascii() and etag.isprintable() else ""

    def _discard(self) -> None:
        self.part.unlink(missing_ok=True)
        self.etag.unlink(missing_ok=True)

    def _attempt(self) -> None:
        etag = self._version()
        offset = self._size() if etag else 0
        with requests.Session() as session, self._request(session, offset, etag) as response:
            self.server_answered = True
            if response.status_code == 416 and offset and response.headers.get("content-range") == f"bytes */{offset}":
                return  # killed after the last byte: the server confirms that the part is complete
            start, total = self._check_response(response, offset, etag)
            try:
                self._receive(response, start, total)
            finally:  # at Ctrl-C too: `close` would wait for the thread that reads
                with suppress(OSError, RuntimeError, ValueError):  # already closed
                    response.raw.shutdown()

    def _request(self, session: requests.Session, offset: int, etag: str) -> requests.Response:
        """Send the request, follow redirects and return the response's status and headers, within a time limit."""
        if self.proxy is None:
            self._check_connection()
        timeouts = CONNECT_TIMEOUT_S, STALL_TIMEOUT_S
        limit = CONNECT_TIMEOUT_S + 2 * STALL_TIMEOUT_S
        session.max_redirects = MAX_REDIRECTS
        headers = {"Accept-Encoding": "identity", "User-Agent": "realwaste"}
        headers |= {"Range": f"bytes={offset}-", "If-Range": etag} if offset else {}
        try:
            return call_within(limit, session.get, self.url, headers=headers, stream=True, timeout=timeouts)
        except requests.exceptions.SSLError as error:
            rule = f"The server of {self.display_url} must prove by its certificate that it is the right one."
            remedy = "Check the address and this machine's clock; if a proxy opens TLS, set REQUESTS_CA_BUNDLE."
            raise UserError(rule, remedy, _reason(error)) from error
        except TimeoutError:
            raise _FailedAttemptError(f"no answer within {limit:g} s") from None
        except (ValueError, requests.TooManyRedirects) as error:
            url, remedy = self.display_url, "Give the final address."
            rule = f"{url} must lead to an http:// or https:// address in at most {MAX_REDIRECTS} redirects."
            if self.proxy is not None:
                rule = f"The proxy {without_secrets(self.proxy)} must be an http:// or https:// address."
                remedy = "Correct or unset HTTP_PROXY, HTTPS_PROXY or ALL_PROXY."
            raise UserError(rule, remedy) from error
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            no_answer = requests.Timeout, requests.exceptions.ProxyError
            self.server_answered |= isinstance(error, requests.ConnectionError) and not isinstance(error, no_answer)
            raise _FailedAttemptError(_reason(error)) from error

    def _check_connection(self) -> None:
        """Fail the attempt unless a server accepts a connection in time; name resolution has no time limit itself."""
        parts = urlsplit(self.url)
        place = (parts.hostname, parts.port or {"http": 80, "https": 443}[parts.scheme])
        try:
            call_within(3 * CONNECT_TIMEOUT_S, lambda: socket.create_connection(place, CONNECT_TIMEOUT_S).close())
        except TimeoutError:
            raise _FailedAttemptError(f"no connection within {CONNECT_TIMEOUT_S:g} s") from None
        except (OSError, UnicodeError) as error:
            raise _FailedAttemptError(f"{parts.hostname}: {error}") from error
        self.server_answered = True

    def _check_response(self, response: requests.Response, offset: int, etag: str) -> tuple[int, int | None]:
        """The position of the first byte and the total length, or None, of a valid response (RFC 9110)."""
        status = f"status {response.status_code} {response.reason}"
        if response.status_code == 429 or response.status_code >= 500:
            raise _FailedAttemptError(status, urllib3.Retry().get_retry_after(response.raw) or 0.0)
        if response.status_code == 416 and offset:
            self._discard()
            raise _FailedAttemptError(f"the server has no bytes from {offset} on")
        if response.status_code not in (200, 206):
            raise UserError(f"The server must offer a file at {self.display_url}.", "Check the address.", status)
        kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind in ("text/html", "application/xhtml+xml"):
            remedy = "Open the address in a browser: a login page, a consent page or a moved file is likely."
            raise UserError(f"The server must send a file at {self.display_url}, not a web page.", remedy, kind)
        if (coding := response.headers.get("content-encoding", "identity").lower()) not in ("identity", ""):
            rule = f"The server must send {self.display_url} as it is, as asked by Accept-Encoding: identity."
            raise UserError(rule, "Use another address.", f"Content-Encoding {coding}")
        if response.status_code == 200:
            return 0, response.raw.length_remaining
        span = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("content-range", ""))
        if span is None or int(span[1]) != offset or (offset and response.headers.get("etag", etag) != etag):
            self._discard()
            raise _FailedAttemptError("the server sent another range or version than was requested")
        return offset, None if span[2] == "*" else int(span[2])

    def _receive(self, response: requests.Response, start: int, total: int | None) -> None:
        if not start:
            self.part.write_bytes(b"")  # before its version, so that a kill cannot pair old bytes with it
            self.etag.write_text(response.headers.get("etag", ""), encoding="utf-8")
        free = shutil.disk_usage(self.part.parent).free
        if (needed := (total or 0) - start) > free:
            rule = f"The disk of {self.part.parent} must have {needed:,} bytes free for the download."
            raise UserError(rule, "Free space there, or choose another disk.", f"{free:,} bytes free")
        # reset, not update: the speed must not include bytes of an earlier run
        self.bars.reset(self.task, total=total, completed=start)
        size, block = start, bytearray(1)
        with self.part.open("ab") as file:
            while block:
                block, failure = bytearray(), ""
                try:
                    # In a thread: chunk headers and trailers may trickle forever without a byte of the file.
                    call_within(STALL_TIMEOUT_S, _fill, block, response)
                except TimeoutError:
                    failure = f"fewer than {MIN_BYTES} bytes in {STALL_TIMEOUT_S:g} s"
                except urllib3.exceptions.HTTPError as error:
                    failure = _reason(error)
                # Now: what a TLS connection returns after its shutdown is not part of the file.
                if count := file.write(bytes(block)):
                    size += count
                    self.bars.start()  # has an effect only once; not before the first byte
                    self.bars.update(self.task, completed=size)
                if failure:
                    raise _FailedAttemptError(failure)
        if total is not None and size != total:
            raise _FailedAttemptError(f"{size:,} of {total:,} bytes arrived")

    def _pause(self, failures: int, failure: _FailedAttemptError) -> None:
        """Wait for the next attempt, or raise the final error."""
        tries = ATTEMPTS if self.server_answered else min(UNREACHABLE_TRIES, ATTEMPTS)
        if failures >= tries or failure.wait > LONGEST_WAIT_S:
            raise self._final_error(failure, tries) from failure
        jitter = secrets.SystemRandom().uniform(0.5, 1.5)  # so that several machines do not retry at the same moment
        wait = max(failure.wait, min(LONGEST_WAIT_S, BACKOFF_S * 2 ** (failures - 1) * jitter))
        logger.debug("%s: %s; attempt %d of %d in %.1f s", self.display_url, failure, failures + 1, tries, wait)
        time.sleep(wait)

    def _final_error(self, failure: _FailedAttemptError, tries: int) -> UserError:
        url = self.display_url
        if self.server_answered:
            rule = f"The download of {url} must get through in {tries} attempts."
            partial_bytes = self._size() if self._version() else 0
            remedy = f"Run again: it resumes after {partial_bytes:,} bytes." if partial_bytes else "Run again later."
            return UserError(rule, remedy, str(failure))
        rule = f"A server must answer at {url}, and none accepted the connection."
        remedy = "Check the network, the proxy settings and the address."
        if self.proxy is not None:
            rule = f"A server must answer at {url}, but the proxy {without_secrets(self.proxy)} refused it."
            variable = f"{urlsplit(self.url).scheme.upper()}_PROXY"
            remedy = f"Set {variable} to a proxy that allows this host, or name the host in NO_PROXY if it needs none."
        return UnreachableError(rule, remedy, str(failure))


def _fill(block: bytearray, response: requests.Response) -> None:
    """Append the next bytes of the body as they arrive: at least MIN_BYTES, or its rest."""
    while len(block) < MIN_BYTES and (chunk := response.raw.read1(CHUNK, decode_content=False)):
        block += chunk


def _reason(error: Exception) -> str:
    """The reason of an error without the URL, which requests and urllib3 print with its secrets."""
    inner = error.args[0] if error.args else error
    return str(getattr(inner, "reason", None) or inner) or type(error).__name__
