"""The user's download cache: all checkouts and parallel experiments share a file that is fetched once.

Each URL has a folder with the file and `.sha256`, which records that the file is complete. A complete file is not
fetched again; delete it to get a newer version.
"""

import hashlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from realwaste.core.errors import UserError
from realwaste.core.files import CACHE_VARIABLE, cache_folder, hash_file, write_text
from realwaste.core.log import logger
from realwaste.sources import urls
from realwaste.sources.download import Download

NOTE, LOCK, PART = ".sha256", ".lock", ".part"


@dataclass(frozen=True)
class CachedFile:
    """A complete file in the cache. It is shared: do not write to it."""

    path: Path
    sha256: str

    def discard(self) -> None:
        """Remove the file from the cache because it is damaged."""
        self.path.with_name(NOTE).unlink(missing_ok=True)
        self.path.unlink(missing_ok=True)


def fetch_cached(url: str, *, check: Callable[[Path], None], digest: str | None = None) -> CachedFile:
    """Return the file at `url` from the cache, after downloading it if necessary.

    Args:
        check: raises UserError for an incomplete file, which is then removed. HTTP cannot detect a truncated body
            without a length; a reader of the file format can.
        digest: "sha256:<hex>" or "md5:<hex>", which the file must have. A cached file with another digest is fetched
            again, since the publisher may have replaced it.

    Raises:
        UnreachableError: the file is not in the cache, and no server answered.
        UserError: the download failed, the file is incomplete, or the cache folder is not writable.
    """
    urls.check(url)
    path = cached_file(url)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _lock_entry(path, url):
            return _fetch(url, path, check, digest)
    except OSError as error:
        rule = f"The download cache {path.parent} must be writable, and its disk have room for the file."
        remedy = f"Free space or correct the permissions, or set {CACHE_VARIABLE} to another folder."
        raise UserError(rule, remedy, error) from error


def cached_file(url: str) -> Path:
    """Where `fetch_cached` keeps the file of an address."""
    return cache_folder() / hashlib.sha256(url.encode()).hexdigest()[:16] / urls.file_name(url)


def _fetch(url: str, path: Path, check: Callable[[Path], None], digest: str | None) -> CachedFile:
    if (cached := _read_cached(path)) is not None:
        if (other := _find_other_digest(cached, digest)) is None:
            logger.info("%s is in the cache: %s", path.name, path.parent)
            return cached
        logger.warning("the cached %s has %s, not %s; fetching it again", path, other, digest)
    part = path.with_name(PART)
    Download(url, part).run()
    new = CachedFile(part, hash_file(part))
    if other := _find_other_digest(new, digest):
        part.unlink()
        remedy = "The file was changed at its source or on the way: check the address and the checksum."
        raise UserError(f"The download {path.name} must have the checksum {digest}.", remedy, other)
    new = CachedFile(part.replace(path), new.sha256)
    try:
        check(path)
    except UserError:
        new.discard()
        raise
    write_text(path.with_name(NOTE), new.sha256)
    return new


def _read_cached(path: Path) -> CachedFile | None:
    """The cached file if it is complete. Other files in its folder are removed, except a part that can be resumed."""
    valid_names = {path.name, NOTE, LOCK, PART, f"{PART}.etag"}
    for leftover in path.parent.iterdir():
        if leftover.name not in valid_names:
            leftover.unlink()  # from a killed process: only the holder of the lock writes here
    note = path.with_name(NOTE)
    if path.is_file() and note.is_file() and (sha256 := hash_file(path)) == note.read_text(errors="replace"):
        return CachedFile(path, sha256)
    if path.is_file():
        logger.warning("the cached %s is damaged and is fetched again", path)
    CachedFile(path, "").discard()
    return None


def _find_other_digest(file: CachedFile, digest: str | None) -> str | None:
    """The digest of the file, if it is not the wanted one."""
    algorithm, _, wanted = (digest or f"sha256:{file.sha256}").lower().partition(":")
    actual = file.sha256 if algorithm == "sha256" else hash_file(file.path, algorithm)
    return None if actual == wanted else f"{algorithm}:{actual}"


def _lock_entry(path: Path, url: str) -> AbstractContextManager[object]:
    """Lock a cache entry until a `with` block ends, after waiting for another holder.

    The holder's download ends if its server is silent, and the system frees the lock of a killed process.
    """
    lock = FileLock(path.with_name(LOCK))
    try:
        return lock.acquire(timeout=0)
    except Timeout:
        logger.info("another process is fetching %s: waiting for it", urls.without_secrets(url))
        return lock.acquire(poll_interval=0.1)
