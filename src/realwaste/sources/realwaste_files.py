"""RealWaste's published files, known by their bytes.

realwaste_files.bin holds the first WIDTH bytes of the SHA-256 of each of the 4,752 files, class by class in the order
of COUNTS, in each by the file's number: 28.5 kB in place of a list of 400. Another file has one of them with a chance
of 2 in 10^11.
"""

import hashlib
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from realwaste.core import machine

COUNTS = {
    "Cardboard": 461,
    "Food Organics": 411,
    "Glass": 420,
    "Metal": 790,
    "Miscellaneous Trash": 495,
    "Paper": 500,
    "Plastic": 921,
    "Textile Trash": 318,
    "Vegetation": 436,
}
WIDTH = 6
FILES = Path(__file__).with_name("realwaste_files.bin")
COMPLETE, OTHER = "complete", "other"


@dataclass(frozen=True)
class Comparison:
    """What a folder of images has of the published files.

    Attributes:
        files: how many of them are there, in the folder of their class.
        state: `complete`: all, and nothing else | `part (n of 4,752)`: some, and nothing else | `other`.
        differing: of a set that is `other`, the classes with files that were published and with files that were not, or
            with the published number of files of which none was.
    """

    files: int
    state: str
    differing: tuple[str, ...] = ()


def compare(root: Path, counts: dict[str, int] = COUNTS, digests: bytes | None = None) -> Comparison:
    """Hold the images of root/<Class>/ against the published files.

    Args:
        counts, digests: those of another set, for tests.
    """
    known = _classes(counts, FILES.read_bytes() if digests is None else digests)
    files = sorted(path for path in root.glob("*/*") if path.is_file())
    with ThreadPoolExecutor(machine.available_cpus()) as pool:
        found = list(pool.map(_digest, files))
    here = Counter(path.parent.name for path in files)
    theirs = Counter(
        path.parent.name for path, one in zip(files, found, strict=True) if known.get(one) == path.parent.name
    )
    total, all_published = theirs.total(), sum(counts.values())
    if total and total == len(files):
        return Comparison(total, COMPLETE if total == all_published else f"part ({total:,} of {all_published:,})")
    differing = [
        name for name in here if 0 < theirs[name] < here[name] or (not theirs[name] and here[name] == counts.get(name))
    ]
    return Comparison(total, OTHER, tuple(differing))


def _classes(counts: dict[str, int], digests: bytes) -> dict[bytes, str]:
    """The class of each published file, by the first bytes of its hash."""
    labels = [label for label, count in counts.items() for _ in range(count)]
    return {digests[place * WIDTH : (place + 1) * WIDTH]: label for place, label in enumerate(labels)}


def _digest(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()[:WIDTH]
