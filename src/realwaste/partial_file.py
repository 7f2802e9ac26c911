"""What has come of a file so far, beside the target, until the whole is checked and renamed into place.

The bytes gather in `.part-<name>`. `.part-<name>.json` says which version of the file they belong to, by the server's
strong ETag or Last-Modified, so that a killed run goes on where it stopped and never joins two versions.
"""

import hashlib
import json
import os
import shutil
from pathlib import Path

from realwaste.atomic import write_json
from realwaste.checksum import checksum, parse_digest
from realwaste.errors import UserError


class PartialFile:
    """The partial file and the note of which version of which address it belongs to."""

    def __init__(self, target: Path) -> None:
        self.target = target
        self.path = target.with_name(f".part-{target.name}")
        self.note = target.with_name(f".part-{target.name}.json")

    def size(self) -> int:
        """Bytes; 0 where there is none yet."""
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
        """Make it empty, for bytes of the version that `validator` names; "" where nothing names it."""
        # First the old bytes go, then the new note comes: a kill in between must not pair old bytes with a new note.
        self.path.write_bytes(b"")
        self.note.unlink(missing_ok=True)
        if validator:
            write_json(self.note, {"url_sha256": _fingerprint(url), "validator": validator})

    def check_room(self, needed: int) -> None:
        """UserError unless so many more bytes fit on the disk."""
        free = shutil.disk_usage(self.path.parent).free
        if needed > free:
            raise UserError(
                f"The disk of {self.path.parent} must have {needed:,} bytes free for the download.",
                "Free space there, or choose another disk.",
                f"{free:,} bytes free",
            )

    def discard(self) -> None:
        """Remove the bytes and the note."""
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


def _fingerprint(url: str) -> str:
    """Stands for the address in the note, which must not hold its passwords and tokens."""
    return hashlib.sha256(url.encode()).hexdigest()
