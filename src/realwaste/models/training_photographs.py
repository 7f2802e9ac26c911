"""The photographs that a model was trained and validated on, as short hashes in its file: they cannot test it."""

from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd

_DIGEST_BYTES = 6  # of a SHA-256: among a million photographs, two are taken for one with a probability of 0.2 %
_MAX_PHOTOGRAPHS = 20_000_000


@dataclass(frozen=True)
class TrainingPhotographs:
    """The hashes of n files."""

    digests: NDArray[np.uint8]  # (n, 6), the first bytes of each file's SHA-256
    phashes: NDArray[np.uint64]  # (n,), the perceptual hash of each image

    def contain(self, sha256: "pd.Series[str]") -> NDArray[np.bool_]:
        """Whether each file, given by its SHA-256 in hexadecimal digits, is one of these."""
        digests = {digest.tobytes() for digest in self.digests}
        return np.array([bytes.fromhex(value[: 2 * _DIGEST_BYTES]) in digests for value in sha256], bool)


def from_splits(splits: "pd.DataFrame") -> TrainingPhotographs:
    """The training and validation images of a split, with the columns split, sha256 and phash."""
    rows = splits[splits["split"] != "test"]
    digests = b"".join(bytes.fromhex(value[: 2 * _DIGEST_BYTES]) for value in rows["sha256"])
    phashes = np.array([int(value, 16) for value in rows["phash"]], np.uint64)
    return TrainingPhotographs(np.frombuffer(digests, np.uint8).reshape(-1, _DIGEST_BYTES), phashes)


def save(file: IO[bytes], photographs: TrainingPhotographs) -> None:
    """Write as .npz."""
    np.savez(file, sha256=photographs.digests, phash=photographs.phashes)


def load(file: IO[bytes]) -> TrainingPhotographs:
    """Read what `save` wrote; ValueError, TypeError, KeyError or zipfile.BadZipFile for anything else."""
    with np.load(file, allow_pickle=False) as stored:
        if sum(info.file_size for info in stored.zip.infolist()) > 16 * _MAX_PHOTOGRAPHS:
            raise ValueError("it unpacks to too many bytes")
        digests, phashes = stored["sha256"], stored["phash"]
    types = digests.dtype, phashes.dtype
    if digests.shape != (len(phashes), _DIGEST_BYTES) or phashes.ndim != 1 or types != (np.uint8, np.uint64):
        raise ValueError(f"hashes of shapes {digests.shape} and {phashes.shape}, and types {types}")
    return TrainingPhotographs(digests, phashes)
