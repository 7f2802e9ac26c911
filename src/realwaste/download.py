"""One file over HTTP from servers that stall, lie and break off: resumed by range, checked, then renamed into place.

The bytes gather in `.part-<name>` beside the target. `.part-<name>.json` says which version of the file they belong
to, by the server's strong ETag or Last-Modified, so that a killed run goes on where it stopped and never joins two
versions. A body without a length that breaks off looks whole: give a digest, or let the archive's reader find it.
One writer a target: who may run twice at once holds a lock (`realwaste.cache` does).
"""

import hashlib
import json
import os
import re
import secrets
import shutil
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.request import getproxies, proxy_bypass

import httpx
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from realwaste.atomic import write_json
from realwaste.errors import UnreachableError, UserError
from realwaste.log import console, logger

MAX_REDIRECTS = 10
LONGEST_WAIT_S = 120.0  # a server that asks for more patience than this is given up, not pestered
UNREACHABLE_TRIES = 2  # without a network people want their answer, not five rounds of backoff
PROGRESS_BYTES = 1 << 20  # an attempt that got this much further was no failure in a row
HEX_LENGTHS = {"sha256": 64, "md5": 32}


@dataclass(frozen=True)
class Policy:
    """How patient a download is. `attempts` counts tries in a row that brought less than a further MiB."""

    connect_timeout_s: float = 10.0
    stall_timeout_s: float = 30.0
    total_timeout_s: float = 3600.0
    attempts: int = 5
    backoff_s: float = 1.0


DEFAULT_POLICY = Policy()


def download(
    url: str,
    target: Path,
    *,
    digest: str | None = None,
    max_bytes: int | None = None,
    policy: Policy = DEFAULT_POLICY,
) -> str:
    """Bring `url` to `target`, replacing a file there, and return its sha256 in hex.

    Args:
        url: http or https; so must be whatever it redirects to.
        target: a file; its folder is made.
        digest: "sha256:<hex>" or "md5:<hex>", which the whole file must have.
        max_bytes: the most that is accepted.
        policy: time limits and attempts.

    Raises:
        UnreachableError: no server ever took the connection (name not found, refused, no route, connect timeout).
        UserError: anything else. `target` is then as it was; the part is kept where going on with it makes sense.
    """
    checked_url(url)
    if digest is not None:
        parse_digest(digest)
    if target.is_dir():
        raise UserError("A download's target must be a file.", "Name a file, or remove the folder.", str(target))
    part = _Part(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _client() as client, _progress() as progress:
            _Transfer(url, part, client=client, policy=policy, max_bytes=max_bytes, progress=progress).run()
        return part.finish(digest)
    except OSError as error:
        raise UserError(
            f"The folder {target.parent} must be writable and its disk have room for the download.",
            f"Free space or mend the permissions, then run again: it goes on from the {part.size():,} bytes there.",
            error,
        ) from error


def checked_url(text: str, base: httpx.URL | None = None) -> httpx.URL:
    """The address, resolved against `base`; UserError unless it is http or https and names a host."""
    try:
        url = httpx.URL(text) if base is None else base.join(text)
    except httpx.InvalidURL as error:
        raise UserError("An address must be a well-formed URL.", f"Mend it: {error}.", text) from error
    if (url.port or 0) > 65535:
        raise UserError("An address must have a port of at most 65535.", "Mend the address.", url.port)
    if url.scheme not in ("http", "https") or not url.host:
        where = "The address" if base is None else f"The address that {shown(base)} redirects to"
        raise UserError(f"{where} must start with http:// or https:// and name a host.", "Give another address.", text)
    return url


def shown(url: httpx.URL) -> str:
    """The address fit for a log: without its password and its query, which may hold a token."""
    return str(url.copy_with(userinfo=b"", query=None))


def parse_digest(digest: str) -> tuple[str, str]:
    """(algorithm, hex) of "sha256:<hex>" or "md5:<hex>"; UserError for anything else."""
    algorithm, _, value = digest.strip().lower().partition(":")
    if not re.fullmatch(f"[0-9a-f]{{{HEX_LENGTHS.get(algorithm, 0)}}}", value) or not value:
        raise UserError("A digest must be sha256:<64 hex digits> or md5:<32 hex digits>.", "Mend the digest.", digest)
    return algorithm, value


def checksum(path: Path, algorithm: str = "sha256") -> str:
    """The file's hash in hex. md5 is for comparing with what publishers print, not for safety."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.new(algorithm, usedforsecurity=False)).hexdigest()


class _FailedError(Exception):
    """This attempt came to nothing, but another may do better; `wait` is what the server asked for, in seconds."""

    def __init__(self, what: str, wait: float = 0.0) -> None:
        super().__init__(what)
        self.wait = wait


class _Part:
    """The partial file and the note of which version of which address it belongs to."""

    def __init__(self, target: Path) -> None:
        self.target = target
        self.path = target.with_name(f".part-{target.name}")
        self.note = target.with_name(f".part-{target.name}.json")

    def size(self) -> int:
        return self.path.stat().st_size if self.path.is_file() else 0

    def kept(self, url: str) -> tuple[int, str]:
        """(bytes, validator) that a request may go on from; (0, "") when it must start over."""
        try:
            note = json.loads(self.note.read_text(encoding="utf-8"))
            validator, same = str(note["validator"]), note["url_sha256"] == _fingerprint(url)
        except (OSError, ValueError, KeyError, TypeError):
            return 0, ""
        usable = same and validator.isascii() and validator.isprintable() and self.size() > 0
        return (self.size(), validator) if usable else (0, "")

    def start_over(self, url: str, validator: str) -> None:
        # First the old bytes go, then the new note comes: a kill in between must not pair old bytes with a new note.
        self.path.write_bytes(b"")
        self.note.unlink(missing_ok=True)
        if validator:
            write_json(self.note, {"url_sha256": _fingerprint(url), "validator": validator})

    def discard(self) -> None:
        self.path.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)

    def finish(self, digest: str | None) -> str:
        """Check the whole, put it in the target's place, return its sha256."""
        with self.path.open("rb+") as file:
            os.fsync(file.fileno())
        sha256 = checksum(self.path)
        if digest is not None:
            algorithm, wanted = parse_digest(digest)
            found = sha256 if algorithm == "sha256" else checksum(self.path, algorithm)
            if found != wanted:
                self.discard()  # else the next run would find it complete and fail again
                raise UserError(
                    f"The download {self.target.name} must have the checksum {algorithm}:{wanted}.",
                    "The file was changed at its source or on the way: check the address and the checksum.",
                    f"{algorithm}:{found}",
                )
        self.path.replace(self.target)
        self.note.unlink(missing_ok=True)
        folder = os.open(self.target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        return sha256


class _Line:
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


class _Transfer:
    """The attempts at one download, up to a whole part on disk."""

    def __init__(
        self, url: str, part: _Part, *, client: httpx.Client, policy: Policy, max_bytes: int | None, progress: Progress
    ) -> None:
        self.url, self.part, self.client, self.policy, self.max_bytes = url, part, client, policy, max_bytes
        self.shown = shown(httpx.URL(url))
        self.progress = progress
        self.task = progress.add_task(part.target.name, total=None)

    def run(self) -> None:
        failures, best = 0, self.part.size()
        with _Line(self.policy.total_timeout_s) as self.line:
            while True:
                try:
                    return self._attempt()
                except _FailedError as failure:
                    if self.part.size() >= best + PROGRESS_BYTES:
                        failures, best = 0, self.part.size()
                    failures += 1
                    self._pause(failures, failure)

    def _attempt(self) -> None:
        offset, validator = self.part.kept(self.url)
        headers = {"Range": f"bytes={offset}-", "If-Range": validator} if offset else {}
        try:
            with self._response(headers) as response:
                if offset and response.status_code == 416 and _whole_length(response) == offset:
                    return  # killed after the last byte: the server, asked with If-Range, says that nothing is missing
                start, total = self._judge(response, offset, validator)
                self._receive(response, start, total)
        except httpx.TransportError as error:
            if isinstance(error, httpx.ConnectError) and (tls := _tls_error(error)) is not None:
                raise UserError(
                    f"The server of {self.shown} must prove by its certificate that it is the right one.",
                    "Check the address and this machine's clock; behind a proxy that opens TLS, set SSL_CERT_FILE.",
                    tls,
                ) from error
            raise _FailedError(self._said(error)) from error

    @contextmanager
    def _response(self, headers: dict[str, str]) -> Iterator[httpx.Response]:
        """The answer at the end of the redirects, which are followed by hand: each hop's address is checked first."""
        url = checked_url(self.url)
        for _ in range(MAX_REDIRECTS + 1):
            timeout = min(self.policy.connect_timeout_s, self._left())
            _look_up(url, timeout)
            limits = httpx.Timeout(min(self.policy.stall_timeout_s, self._left()), connect=timeout)
            extensions = {"trace": self.line.trace}
            with self.client.stream("GET", url, headers=headers, timeout=limits, extensions=extensions) as response:
                if not response.has_redirect_location:
                    yield response
                    return
                url = checked_url(response.headers["location"], url)
        raise UserError(
            f"A download may be redirected at most {MAX_REDIRECTS} times.", "Give the final address.", self.shown
        )

    def _judge(self, response: httpx.Response, offset: int, validator: str) -> tuple[int, int | None]:
        """(first byte, length of the whole file or None) of an answer worth reading; raises for any other."""
        status = response.status_code
        if status == 429 or status >= 500:
            raise _FailedError(f"status {status} {response.reason_phrase}", _retry_after(response))
        if status == 416 and offset:
            self.part.discard()
            raise _FailedError(f"the server has no bytes from {offset} on")
        if status not in (200, 206):
            raise UserError(
                f"The server must offer a file at {self.shown}.",
                "Check the address in a browser.",
                f"status {status} {response.reason_phrase}",
            )
        self._check_kind(response)
        if status == 200:
            return 0, _content_length(response)
        span = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("content-range", ""))
        if span is None or int(span[1]) != offset or (offset and _validator(response) not in ("", validator)):
            self.part.discard()
            raise _FailedError("the server sent another range or version than was asked for")
        return offset, _whole_length(response)

    def _check_kind(self, response: httpx.Response) -> None:
        kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind in ("text/html", "application/xhtml+xml"):
            raise UserError(
                f"The server must send a file at {self.shown}, not a web page.",
                "Open the address in a browser: a login page, a consent page or a moved file is likely.",
                f"Content-Type {kind}",
            )
        if response.headers.get("content-encoding", "identity").strip().lower() not in ("identity", ""):
            raise UserError(
                f"The server must send {self.shown} as it is, as asked by Accept-Encoding: identity.",
                "Give another address.",
                f"Content-Encoding {response.headers['content-encoding']}",
            )

    def _receive(self, response: httpx.Response, start: int, total: int | None) -> None:
        self._check_size(total or start)
        if not start:
            self.part.start_over(self.url, _validator(response))
        if total is not None:
            _check_room(self.part.path, total - start)
        # reset, not update: bytes of an earlier run must not count as this run's speed
        self.progress.reset(self.task, total=total, completed=start)
        size = start
        with self.part.path.open("ab") as file:
            for chunk in response.iter_raw():
                size += len(chunk)
                self._check_size(size)
                file.write(chunk)
                self.progress.update(self.task, completed=size)
                self._left()
        self._left()  # a line that was cut ends a body without a length as if it were whole
        if total is not None and size > total:
            self.part.discard()
        if total is not None and size != total:
            raise _FailedError(f"{size:,} of {total:,} bytes came")

    def _check_size(self, size: int) -> None:
        if self.max_bytes is not None and size > self.max_bytes:
            self.part.discard()
            raise UserError(
                f"The download of {self.shown} must have at most {self.max_bytes:,} bytes.",
                "Check the address: it leads to another file than the one that is wanted.",
                f"{size:,} bytes or more",
            )

    def _left(self) -> float:
        """Seconds left; raises when there are none."""
        left = self.line.left()
        if left <= 0:
            raise self._late()
        return left

    def _late(self, reason: object = "") -> UserError:
        seen = f"{self.part.size():,} bytes at the end{f'; last: {reason}' if reason else ''}"
        if not self.line.connected:
            return self._unreachable(seen)
        limit = f"{self.policy.total_timeout_s:g} s"
        return UserError(f"The download of {self.shown} must end within {limit}.", self._again(), seen)

    def _unreachable(self, seen: object) -> UnreachableError:
        rule = f"A server must answer at {self.shown}, and none took the connection."
        return UnreachableError(rule, "Check the network, the proxy settings and the address.", str(seen))

    def _again(self) -> str:
        kept, _ = self.part.kept(self.url)
        return f"Run again: it goes on from the {kept:,} bytes kept." if kept else "Run again later."

    def _said(self, error: httpx.TransportError) -> str:
        if isinstance(error, httpx.ConnectTimeout):
            return f"no connection within {self.policy.connect_timeout_s:g} s"
        if isinstance(error, httpx.TimeoutException):
            return f"no byte for {self.policy.stall_timeout_s:g} s"
        return str(error) or type(error).__name__

    def _pause(self, failures: int, failure: _FailedError) -> None:
        """Wait for the next attempt, or say why there is none."""
        if self.line.left() <= 0:
            raise self._late(failure) from failure
        connected = self.line.connected
        tries = self.policy.attempts if connected else min(UNREACHABLE_TRIES, self.policy.attempts)
        if failures >= tries or failure.wait > LONGEST_WAIT_S:
            if not connected:
                raise self._unreachable(failure) from failure
            asked = f" (the server asks to wait {failure.wait:.0f} s)" if failure.wait else ""
            rule = f"The download of {self.shown} must get through in {tries} attempts."
            raise UserError(rule, self._again(), f"{failure}{asked}") from failure
        jitter = secrets.SystemRandom().uniform(0.5, 1.5)  # so that machines thrown off together do not return together
        wait = max(failure.wait, min(LONGEST_WAIT_S, self.policy.backoff_s * 2 ** (failures - 1) * jitter))
        if wait >= self.line.left():
            raise self._late(failure) from failure
        logger.warning("%s: %s; attempt %d of %d in %.1f s", self.shown, failure, failures + 1, tries, wait)
        time.sleep(wait)


def _client() -> httpx.Client:
    try:
        return httpx.Client(
            headers={"Accept-Encoding": "identity", "User-Agent": "realwaste"},
            # A proxy's localhost is not ours.
            mounts={"all://localhost": None, "all://127.0.0.1": None, "all://[::1]": None},
        )
    except (ValueError, ImportError) as error:
        rule = "The proxy in HTTP_PROXY, HTTPS_PROXY or ALL_PROXY must be an http:// or https:// address."
        raise UserError(rule, "Mend or unset the variable.", str(error)) from error


def _progress() -> Progress:
    name = TextColumn("{task.description}", markup=False)
    return Progress(name, BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn(), console=console)


def _look_up(url: httpx.URL, timeout: float) -> None:
    """Fail when the name is not found in time; the resolver itself knows no limit. A proxy does its own look-ups."""
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
        raise _FailedError(problems[0])


def _tls_error(error: BaseException | None) -> ssl.SSLError | None:
    """What TLS had against the server. A line that just broke off is not that."""
    while error is not None:
        if isinstance(error, ssl.SSLError):
            return None if isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError) else error
        error = error.__cause__ or error.__context__
    return None


def _validator(response: httpx.Response) -> str:
    """What names this version of the file byte for byte, or "" when nothing does (RFC 9110, 8.8 and 13.1.5)."""
    etag: str = response.headers.get("etag", "")
    if etag.startswith('"'):
        return etag
    try:
        changed: str = response.headers["last-modified"]
        age = parsedate_to_datetime(response.headers["date"]) - parsedate_to_datetime(changed)
    except (KeyError, ValueError, TypeError):
        return ""
    # A file changed twice in one second keeps its date: only an old date is a strong one.
    return changed if age >= timedelta(minutes=1) else ""


def _content_length(response: httpx.Response) -> int | None:
    """The body's length; None when it comes in chunks, where the header would mean nothing."""
    if "transfer-encoding" in response.headers or "content-length" not in response.headers:
        return None
    return int(response.headers["content-length"])


def _whole_length(response: httpx.Response) -> int | None:
    """The length of the whole file after the slash of Content-Range."""
    found = re.fullmatch(r"bytes .*/(\d+)", response.headers.get("content-range", ""))
    return None if found is None else int(found[1])


def _retry_after(response: httpx.Response) -> float:
    asked = response.headers.get("retry-after", "").strip()
    if asked.isdecimal():
        return float(asked)
    with suppress(ValueError, TypeError):
        return max(0.0, (parsedate_to_datetime(asked) - datetime.now(UTC)).total_seconds())
    return 0.0


def _check_room(path: Path, needed: int) -> None:
    free = shutil.disk_usage(path.parent).free
    if needed > free:
        raise UserError(
            f"The disk of {path.parent} must have {needed:,} bytes free for the download.",
            "Free space there, or choose another disk.",
            f"{free:,} bytes free",
        )


def _fingerprint(url: str) -> str:
    """Stands for the address in the note, which must not hold its passwords and tokens."""
    return hashlib.sha256(url.encode()).hexdigest()
