"""Downloads kept for the user, not for one checkout: experiments side by side fetch a file once.

An entry is `<key>-<name>` and, once it is complete, `<key>-<name>.json` (url, sha256, bytes, fetched). Its server is
not asked again: to get a newer version, delete it.
"""

import hashlib
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import unquote

import platformdirs
from filelock import FileLock, Timeout

from realwaste.address import checked_url, shown
from realwaste.atomic import write_json
from realwaste.checksum import checksum, parse_digest
from realwaste.download import DEFAULT_POLICY, Policy, download
from realwaste.errors import UserError
from realwaste.log import logger

FOLDER_VARIABLE = "REALWASTE_CACHE"


@dataclass(frozen=True)
class CachedFile:
    """A whole file in the cache, which others share: read it, never write to it."""

    path: Path
    sha256: str


def cache_dir() -> Path:
    """The folder in the variable REALWASTE_CACHE, else the system's place for a user's caches. It may not exist yet."""
    named = os.environ.get(FOLDER_VARIABLE)
    return Path(named).expanduser().absolute() if named else platformdirs.user_cache_path("realwaste")


def fetch_cached(
    url: str, *, digest: str | None = None, max_bytes: int | None = None, policy: Policy = DEFAULT_POLICY
) -> CachedFile:
    """The file at `url`, from the cache if it is there whole, else downloaded to it. Arguments as for `download`.

    A cached file with another digest than the wanted one is fetched once more: the publisher may have replaced it.

    Raises:
        UnreachableError: not in the cache, and no server answered.
        UserError: the download failed, the digest is wrong, or the cache's folder cannot be written.
    """
    checked_url(url)
    if digest is not None:
        parse_digest(digest)
    path = cache_dir() / _entry_name(url)
    with _alone(path, url, policy):
        cached = _whole(path)
        if cached is not None and _has_digest(cached, digest):
            logger.info("%s is in the cache: %s", path.name, path.parent)
            return cached
        sha256 = download(url, path, digest=digest, max_bytes=max_bytes, policy=policy)
        _write_note(path, url, sha256)
        return CachedFile(path, sha256)


def _entry_name(url: str) -> str:
    """A hash, since different addresses may end alike, and the end of the address for people to read."""
    readable = re.sub(r"[^A-Za-z0-9._-]+", "_", unquote(checked_url(url).path.rstrip("/").rpartition("/")[2]))
    return f"{hashlib.sha256(url.encode()).hexdigest()[:16]}-{readable[-80:] or 'download'}"


@contextmanager
def _alone(path: Path, url: str, policy: Policy) -> Iterator[None]:
    """Hold the entry's lock, waiting for the process that has it. The system frees the lock of a killed one."""
    lock = FileLock(path.with_name(f"{path.name}.lock"))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _acquire(lock, url, policy)
    except OSError as error:
        rule = f"The download cache {path.parent} must be writable."
        raise UserError(rule, f"Mend its permissions, or set {FOLDER_VARIABLE} to another folder.", error) from error
    try:
        yield
    finally:
        lock.release()


def _acquire(lock: FileLock, url: str, policy: Policy) -> None:
    try:
        lock.acquire(timeout=0)
    except Timeout:
        logger.info("another process is fetching %s: waiting for it", shown(checked_url(url)))
    else:
        return
    try:
        lock.acquire(timeout=policy.total_timeout_s, poll_interval=0.1)
    except Timeout:
        raise UserError(
            f"The other process that fetches {shown(checked_url(url))} must end within {policy.total_timeout_s:g} s.",
            "Look for a run that hangs and end it, then run again.",
            lock.lock_file,
        ) from None


def _whole(path: Path) -> CachedFile | None:
    """The entry if it is what was once downloaded; a damaged one is deleted."""
    note = _note_path(path)
    try:
        noted = json.loads(note.read_text(encoding="utf-8"))
        sha256, size = str(noted["sha256"]), int(noted["bytes"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError):
        sha256, size = "", -1
    if path.is_file() and path.stat().st_size == size and checksum(path) == sha256:
        return CachedFile(path, sha256)
    logger.warning("the cached %s is damaged and is fetched again", path)
    note.unlink(missing_ok=True)
    path.unlink(missing_ok=True)
    return None


def _has_digest(cached: CachedFile, digest: str | None) -> bool:
    if digest is None:
        return True
    algorithm, wanted = parse_digest(digest)
    found = cached.sha256 if algorithm == "sha256" else checksum(cached.path, algorithm)
    if found != wanted:
        logger.warning("the cached %s has %s %s, not %s; fetching it again", cached.path, algorithm, found, wanted)
    return found == wanted


def _note_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")


def _write_note(path: Path, url: str, sha256: str) -> None:
    fetched = datetime.now(UTC).isoformat(timespec="seconds")
    note = {"url": shown(checked_url(url)), "sha256": sha256, "bytes": path.stat().st_size, "fetched": fetched}
    write_json(_note_path(path), note)
