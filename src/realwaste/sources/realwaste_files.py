"""Recognizes RealWaste's published files by their hashes.

realwaste_files.bin has the first WIDTH bytes of the SHA-256 of each of the 4,752 files, by class in the order of COUNTS
and by file number: 28.5 kB instead of 400 kB as text. Another file matches one of them with probability 2 in 10^11.
"""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from realwaste.core import machine
from realwaste.core.files import hash_file

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
DIGEST_FILE = Path(__file__).with_name("realwaste_files.bin")
COMPLETE, OTHER = "complete", "other"


@dataclass(frozen=True)
class Comparison:
    """A comparison of a folder of images with the published files.

    Attributes:
        files: the number of published files in the folder of their class.
        state: `complete`: all of them and no others; `part (n of 4,752)`: some of them and no others; or `other`.
        differing: if the state is `other`, the classes that mix published and other files, or that have the published
            number of files, but none of the published ones.
    """

    files: int
    state: str
    differing: tuple[str, ...] = ()


def compare(root: Path) -> Comparison:
    """Compare the images of root/<Class>/ with the published files."""
    class_of_digest = _read_class_of_digest()
    files = sorted(path for path in root.glob("*/*") if path.is_file())
    with ThreadPoolExecutor(machine.available_cpus()) as pool:
        digests_found = [bytes.fromhex(digest)[:WIDTH] for digest in pool.map(hash_file, files)]
    counts_here = Counter(path.parent.name for path in files)
    counts_published = Counter(
        path.parent.name
        for path, digest in zip(files, digests_found, strict=True)
        if class_of_digest.get(digest) == path.parent.name
    )
    matching, published_total = counts_published.total(), sum(COUNTS.values())
    if matching and matching == len(files):
        part = f"part ({matching:,} of {published_total:,})"
        return Comparison(matching, COMPLETE if matching == published_total else part)
    differing = [
        name
        for name in counts_here
        if 0 < counts_published[name] < counts_here[name]
        or (not counts_published[name] and counts_here[name] == COUNTS.get(name))
    ]
    return Comparison(matching, OTHER, tuple(differing))


def _read_class_of_digest() -> dict[bytes, str]:
    """The class of each published file by the first WIDTH bytes of its hash."""
    digests = DIGEST_FILE.read_bytes()
    labels = [label for label, count in COUNTS.items() for _ in range(count)]
    return {digests[number * WIDTH : (number + 1) * WIDTH]: label for number, label in enumerate(labels)}
