"""One file over HTTP from servers that stall, lie and break off: resumed by range, checked, then renamed into place.

A body without a length that breaks off looks whole: give a digest, or let the archive's reader find it. One writer a
target: who may run twice at once holds a lock (`realwaste.cache` does).
"""

import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from realwaste.address import checked_url, shown
from realwaste.checksum import parse_digest
from realwaste.connection import Line, check_certificate, client, look_up
from realwaste.errors import UnreachableError, UserError
from realwaste.http_answers import FailedAttemptError, judge, validator_of, whole_length
from realwaste.log import console, is_quiet, logger
from realwaste.partial_file import PartialFile

MAX_REDIRECTS = 10
LONGEST_WAIT_S = 120.0  # a server that asks for more patience than this is given up, not pestered
UNREACHABLE_TRIES = 2  # without a network people want their answer, not five rounds of backoff
PROGRESS_BYTES = 1 << 20  # an attempt that got this much further was no failure in a row


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
    part = PartialFile(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with client() as http, _progress() as bars:
            _Transfer(url, part, http=http, policy=policy, max_bytes=max_bytes, bars=bars).run()
        return part.finish(digest)
    except OSError as error:
        raise UserError(
            f"The folder {target.parent} must be writable and its disk have room for the download.",
            f"Free space or mend the permissions, then run again: it goes on from the {part.size():,} bytes there.",
            error,
        ) from error


class _Transfer:
    """The attempts at one download, up to a whole part on disk."""

    def __init__(
        self, url: str, part: PartialFile, *, http: httpx.Client, policy: Policy, max_bytes: int | None, bars: Progress
    ) -> None:
        self.url, self.part, self.http, self.policy, self.max_bytes = url, part, http, policy, max_bytes
        self.shown = shown(httpx.URL(url))
        self.bars = bars
        self.task = bars.add_task(part.target.name, total=None)

    def run(self) -> None:
        failures, best = 0, self.part.size()
        with Line(self.policy.total_timeout_s) as self.line:
            while True:
                try:
                    return self._attempt()
                except FailedAttemptError as failure:
                    if failure.part_is_wrong:
                        self.part.discard()
                    if self.part.size() >= best + PROGRESS_BYTES:
                        failures, best = 0, self.part.size()
                    failures += 1
                    self._pause(failures, failure)

    def _attempt(self) -> None:
        offset, validator = self.part.kept(self.url)
        headers = {"Range": f"bytes={offset}-", "If-Range": validator} if offset else {}
        try:
            with self._response(headers) as response:
                if offset and response.status_code == 416 and whole_length(response) == offset:
                    return  # killed after the last byte: the server, asked with If-Range, says that nothing is missing
                start, total = judge(response, self.shown, offset, validator)
                self._receive(response, start, total)
        except httpx.TransportError as error:
            check_certificate(error, self.shown)
            raise FailedAttemptError(self._said(error)) from error

    @contextmanager
    def _response(self, headers: dict[str, str]) -> Iterator[httpx.Response]:
        """The answer at the end of the redirects, which are followed by hand: each hop's address is checked first."""
        url = checked_url(self.url)
        for _ in range(MAX_REDIRECTS + 1):
            timeout = min(self.policy.connect_timeout_s, self._left())
            look_up(url, timeout)
            limits = httpx.Timeout(min(self.policy.stall_timeout_s, self._left()), connect=timeout)
            extensions = {"trace": self.line.trace}
            with self.http.stream("GET", url, headers=headers, timeout=limits, extensions=extensions) as response:
                if not response.has_redirect_location:
                    yield response
                    return
                url = checked_url(response.headers["location"], url)
        raise UserError(
            f"A download may be redirected at most {MAX_REDIRECTS} times.", "Give the final address.", self.shown
        )

    def _receive(self, response: httpx.Response, start: int, total: int | None) -> None:
        self._check_size(total or start)
        if not start:
            self.part.start_over(self.url, validator_of(response))
        if total is not None:
            self.part.check_room(total - start)
        # reset, not update: bytes of an earlier run must not count as this run's speed
        self.bars.reset(self.task, total=total, completed=start)
        size = start
        with self.part.path.open("ab") as file:
            for chunk in response.iter_raw():
                size += len(chunk)
                self._check_size(size)
                file.write(chunk)
                self.bars.update(self.task, completed=size)
                self._left()
        self._left()  # a line that was cut ends a body without a length as if it were whole
        if total is not None and size != total:
            raise FailedAttemptError(f"{size:,} of {total:,} bytes came", part_is_wrong=size > total)

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

    def _pause(self, failures: int, failure: FailedAttemptError) -> None:
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


def _progress() -> Progress:
    name = TextColumn("{task.description}", markup=False)
    columns = (name, BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console, disable=is_quiet())
