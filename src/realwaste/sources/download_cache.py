"""Downloads kept for the user, not for one checkout: experiments side by side fetch a file once.

Each address has a folder with the file and `.sha256`, the note that the file was found whole. The server of a noted
file is not asked again: to get a newer version, delete it. pooch checks the digest and puts the file in its place.
"""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pooch
from filelock import FileLock, Timeout

from realwaste.core.errors import UserError
from realwaste.core.files import CACHE_VARIABLE, cache_folder, write_text
from realwaste.core.log import logger
from realwaste.sources import urls
from realwaste.sources.download import DEFAULT_POLICY, Policy, downloader

# Longer than the process that downloads may rightly be silent: its tries, and their pauses.
PATIENCE_S = 900.0
NOTE, LOCK, PART = ".sha256", ".lock", ".part"

pooch.get_logger().setLevel("WARNING")  # its other lines write out the address with its tokens


@dataclass(frozen=True)
class CachedFile:
    """A whole file in the cache, which others share: read it, never write to it."""

    path: Path
    sha256: str

    def discard(self) -> None:
        """Take it out of the cache: whoever read it found it damaged."""
        _drop(self.path)


def fetch_cached(
    url: str,
    *,
    check: Callable[[Path], None],
    digest: str | None = None,
    policy: Policy = DEFAULT_POLICY,
    patience_s: float = PATIENCE_S,
) -> CachedFile:
    """The file at `url`, from the cache if it is there whole, else downloaded to it.

    Args:
        url: http or https.
        check: raises UserError for a file that is not whole. A body without a length that broke off looks whole to
            HTTP; only who can read the file finds it out, and what it refuses does not stay.
        digest: "sha256:<hex>" or "md5:<hex>", which the file must have. A cached file with another one is fetched
            once more: the publisher may have replaced it.
        policy: of the download.
        patience_s: how long to wait for another process that fetches the same file and gets no further.

    Raises:
        UnreachableError: not in the cache, and no server answered.
        UserError: the download failed, the file is not whole, or the cache's folder cannot be written.
    """
    urls.check(url)
    path = cache_folder() / hashlib.sha256(url.encode()).hexdigest()[:16] / urls.file_name(url)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _alone(path, url, patience_s):
            return _fetch(url, path, check, digest, policy)
    except OSError as error:
        rule = f"The download cache {path.parent} must be writable, and its disk have room for the file."
        remedy = f"Free space or mend the permissions, or set {CACHE_VARIABLE} to another folder."
        raise UserError(rule, remedy, error) from error


def _fetch(url: str, path: Path, check: Callable[[Path], None], digest: str | None, policy: Policy) -> CachedFile:
    cached = _noted(path)
    if cached is not None and _has_digest(cached, digest):
        logger.info("%s is in the cache: %s", path.name, path.parent)
        return cached
    try:
        pooch.retrieve(url, digest, path.name, path.parent, downloader=downloader(path.with_name(PART), policy))
    except ValueError as error:
        raise UserError(
            f"The download {path.name} must have the checksum {digest}.",
            "The file was changed at its source or on the way: check the address and the checksum.",
            str(error).partition(": ")[2],
        ) from error
    new = CachedFile(path, pooch.file_hash(str(path)))
    try:
        check(path)
    except UserError:
        new.discard()
        raise
    write_text(path.with_name(NOTE), new.sha256)
    return new


def _noted(path: Path) -> CachedFile | None:
    """The file if it is what was once found whole. What else lies there goes, but for a part to go on from."""
    kept = {path.name, NOTE, LOCK, PART, f"{PART}.etag"}
    for leftover in path.parent.iterdir():
        if leftover.name not in kept:
            leftover.unlink()  # of a killed process: only the holder of the lock writes here
    note = path.with_name(NOTE)
    if path.is_file() and note.is_file() and (sha256 := pooch.file_hash(str(path))) == note.read_text(errors="replace"):
        return CachedFile(path, sha256)
    if path.is_file():
        logger.warning("the cached %s is damaged and is fetched again", path)
    _drop(path)
    return None


def _has_digest(cached: CachedFile, digest: str | None) -> bool:
    if digest is None:
        return True
    algorithm, _, wanted = digest.lower().partition(":")
    found = cached.sha256 if algorithm == "sha256" else pooch.file_hash(str(cached.path), alg=algorithm)
    if found != wanted:
        logger.warning("the cached %s has %s %s, not %s; fetching it again", cached.path, algorithm, found, wanted)
    return found == wanted


def _drop(path: Path) -> None:
    path.with_name(NOTE).unlink(missing_ok=True)
    path.unlink(missing_ok=True)


@contextmanager
def _alone(path: Path, url: str, patience_s: float) -> Iterator[None]:
    """Hold the entry's lock, waiting for the process that has it. The system frees the lock of a killed one."""
    lock, part = FileLock(path.with_name(LOCK)), path.with_name(PART)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        logger.info("another process is fetching %s: waiting for it", urls.shown(url))
    while not lock.is_locked:
        came = part.stat().st_size if part.is_file() else 0
        try:
            lock.acquire(timeout=patience_s, poll_interval=0.1)
        except Timeout:
            if came != (part.stat().st_size if part.is_file() else 0):
                continue
            raise UserError(
                f"The other process that fetches {urls.shown(url)} must get further within {patience_s:g} s.",
                "Look for a run that hangs and end it, then run again.",
                lock.lock_file,
            ) from None
    try:
        yield
    finally:
        lock.release()
