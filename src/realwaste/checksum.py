"""Hashes of files, and how people write them."""

import hashlib
import re
from pathlib import Path

from realwaste.errors import UserError

HEX_LENGTHS = {"sha256": 64, "md5": 32}


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
