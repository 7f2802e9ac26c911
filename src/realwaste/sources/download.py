"""A downloader for pooch with features that pooch's own lacks.

It resumes broken downloads by range requests, limits each silence of a server, retries with growing pauses, and
distinguishes a server that answers with an error from no server. The total time is not limited: a slow download may
take days if at least 1 KiB arrives within each `stall_timeout_s`.
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
from realwaste.sources.partial_download import PartialDownload, StalledError, watch_rate
from realwaste.sources.urls import file_name, without_secrets

MAX_REDIRECTS = 10
LONGEST_WAIT_S = 120.0  # a longer Retry-After ends the download
UNREACHABLE_TRIES = 2  # without a network the user should not wait for five attempts
PROGRESS_BYTES = 1 << 20  # an attempt that received this much resets the count of failures
CHUNK = 1 << 16


@dataclass(frozen=True)
class RetryPolicy:
    """Timeouts and retries. `attempts` limits consecutive attempts that each received less than 1 MiB."""

    connect_timeout_s: float = 10.0
    stall_timeout_s: float = 30.0
    attempts: int = 5
    backoff_s: float = 1.0


DEFAULT_POLICY = RetryPolicy()
Downloader = Callable[[str, str, object], None]


def make_downloader(part: Path, policy: RetryPolicy = DEFAULT_POLICY) -> Downloader:
    """A downloader for `pooch.retrieve`: a function (url, output file, pooch) → None.

    Args:
        part: the file for received bytes, which remains after a kill. `<part>.etag` names their version. There may be
            only one writer at a time: download_cache holds a lock.

    The returned function raises:
        UnreachableError: no server accepted the connection, or the proxy refused it.
        UserError: any other error of the server. The part remains if the download can be resumed.
        OSError: the disk is full or not writable.
    """

    def download(url: str, output_file: str, _: object) -> None:
        transfer = _Transfer(url, PartialDownload(part), policy)
        transfer.run()
        transfer.part.become(Path(output_file))

    return download


class _FailedAttemptError(Exception):
    """An attempt failed, but may be repeated after `wait` seconds, which the server requested."""

    def __init__(self, what: object, wait: float = 0.0) -> None:
        super().__init__(what)
        self.wait = wait


class _Transfer:
    """All attempts of one download, until the part on disk is complete."""

    def __init__(self, url: str, part: PartialDownload, policy: RetryPolicy) -> None:
        self.url, self.part, self.policy = url, part, policy
        self.display_url = without_secrets(url)
        self.proxy = select_proxy(url, get_environ_proxies(url))
        self.server_answered = False  # the server itself, not a proxy
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
            with requests.Session() as session, self._request(session, offset, etag) as response:
                self.server_answered = True
                ranges = response.headers.get("content-range", "")
                if response.status_code == 416 and offset and ranges == f"bytes */{offset}":
                    return  # killed after the last byte: the server confirms that the part is complete
                self._receive(response, *self._check_response(response, offset, etag))
        except requests.exceptions.SSLError as error:
            raise UserError(
                f"The server of {self.display_url} must prove by its certificate that it is the right one.",
                "Check the address and this machine's clock; behind a proxy that opens TLS, set REQUESTS_CA_BUNDLE.",
                _reason(error),
            ) from error
        except (requests.RequestException, urllib3.exceptions.HTTPError, StalledError) as error:
            raise _FailedAttemptError(_reason(error)) from error

    def _request(self, session: requests.Session, offset: int, etag: str) -> requests.Response:
        """Send the request, follow redirects and return the response's status and headers, within a time limit."""
        connect, stall = self.policy.connect_timeout_s, self.policy.stall_timeout_s
        if self.proxy is None:
            self._check_connection(connect)
        limit = connect + 2 * stall
        session.max_redirects = MAX_REDIRECTS
        headers = {"Accept-Encoding": "identity", "User-Agent": "realwaste"}
        headers |= {"Range": f"bytes={offset}-", "If-Range": etag} if offset else {}
        try:
            return call_within(limit, session.get, self.url, headers=headers, stream=True, timeout=(connect, stall))
        except (requests.exceptions.ProxyError, requests.exceptions.ConnectTimeout) as error:
            raise _FailedAttemptError(_reason(error)) from error
        except (requests.ConnectionError, requests.exceptions.InvalidHeader):
            self.server_answered = True
            raise
        except TimeoutError:
            raise _FailedAttemptError(f"no answer within {limit:g} s") from None
        except (ValueError, requests.TooManyRedirects, urllib3.exceptions.URLSchemeUnknown) as error:
            raise self._bad_address() from error

    def _check_connection(self, timeout: float) -> None:
        """Fail the attempt unless a server accepts a connection in time; name resolution has no time limit itself."""
        parts = urlsplit(self.url)
        place = (parts.hostname, parts.port or {"http": 80, "https": 443}[parts.scheme])
        try:
            call_within(3 * timeout, lambda: socket.create_connection(place, timeout).close())
        except TimeoutError:
            raise _FailedAttemptError(f"no connection within {timeout:g} s") from None
        except (OSError, UnicodeError) as error:
            raise _FailedAttemptError(f"{parts.hostname}: {error}") from error
        self.server_answered = True

    def _bad_address(self) -> UserError:
        if self.proxy is not None:
            rule = f"The proxy {without_secrets(self.proxy)} must be an http:// or https:// address."
            return UserError(rule, "Correct or unset HTTP_PROXY, HTTPS_PROXY or ALL_PROXY.")
        rule = f"{self.display_url} must lead to an http:// or https:// address, by at most {MAX_REDIRECTS} redirects."
        return UserError(rule, "Give the final address.")

    def _check_response(self, response: requests.Response, offset: int, etag: str) -> tuple[int, int | None]:
        """The position of the first byte and the total length, or None, of a valid response (RFC 9110)."""
        status = f"status {response.status_code} {response.reason}"
        if response.status_code == 429 or response.status_code >= 500:
            raise _FailedAttemptError(status, urllib3.Retry().get_retry_after(response.raw) or 0.0)
        if response.status_code == 416 and offset:
            self.part.discard()
            raise _FailedAttemptError(f"the server has no bytes from {offset} on")
        if response.status_code not in (200, 206):
            rule = f"The server must offer a file at {self.display_url}."
            raise UserError(rule, "Check the address in a browser.", status)
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
            self.part.discard()
            raise _FailedAttemptError("the server sent another range or version than was requested")
        return offset, None if span[2] == "*" else int(span[2])

    def _receive(self, response: requests.Response, start: int, total: int | None) -> None:
        if not start:
            self.part.begin(response.headers.get("etag", ""))
        free = shutil.disk_usage(self.part.path.parent).free
        if (needed := (total or 0) - start) > free:
            rule = f"The disk of {self.part.path.parent} must have {needed:,} bytes free for the download."
            raise UserError(rule, "Free space there, or choose another disk.", f"{free:,} bytes free")
        # reset, not update: the speed must not include bytes of an earlier run
        self.bars.reset(self.task, total=total, completed=start)
        size, stall = start, self.policy.stall_timeout_s
        with self.part.path.open("ab") as file, watch_rate(response, lambda: size, stall) as stalled:
            while (chunk := response.raw.read1(CHUNK, decode_content=False)) and not stalled.is_set():
                size += file.write(chunk)
                self.bars.start()  # has an effect only once; not before the first byte
                self.bars.update(self.task, completed=size)
        if total is not None and size != total:
            raise _FailedAttemptError(f"{size:,} of {total:,} bytes arrived")

    def _pause(self, failures: int, failure: _FailedAttemptError) -> None:
        """Wait for the next attempt, or raise the final error."""
        tries = self.policy.attempts if self.server_answered else min(UNREACHABLE_TRIES, self.policy.attempts)
        if failures >= tries or failure.wait > LONGEST_WAIT_S:
            raise self._final_error(failure, tries) from failure
        jitter = secrets.SystemRandom().uniform(0.5, 1.5)  # so that several machines do not retry at the same moment
        wait = max(failure.wait, min(LONGEST_WAIT_S, self.policy.backoff_s * 2 ** (failures - 1) * jitter))
        logger.debug("%s: %s; attempt %d of %d in %.1f s", self.display_url, failure, failures + 1, tries, wait)
        time.sleep(wait)

    def _final_error(self, failure: _FailedAttemptError, tries: int) -> UserError:
        if self.server_answered:
            rule = f"The download of {self.display_url} must get through in {tries} attempts."
            partial_bytes = self.part.size() if self.part.version() else 0
            resume = f"Run again: it resumes after {partial_bytes:,} bytes."
            remedy = resume if partial_bytes else "Run again later."
            wait_request = f" (the server asks to wait {failure.wait:.0f} s)" if failure.wait else ""
            return UserError(rule, remedy, f"{failure}{wait_request}")
        if self.proxy is None:
            rule = f"A server must answer at {self.display_url}, and none accepted the connection."
            return UnreachableError(rule, "Check the network, the proxy settings and the address.", str(failure))
        variable = f"{urlsplit(self.url).scheme.upper()}_PROXY"
        return UnreachableError(
            f"A server must answer at {self.display_url}, but the proxy {without_secrets(self.proxy)} refused it.",
            f"Set {variable} to a proxy that allows this host, or name the host in NO_PROXY if no proxy is needed.",
            str(failure),
        )


def _reason(error: Exception) -> str:
    """The reason of an error without the URL, which requests and urllib3 print with its secrets."""
    inner = error.args[0] if error.args else error
    reason = getattr(inner, "reason", None) or inner
    return str(reason) or type(error).__name__
