"""Networks that OpenVINO has been given once, kept in the user's cache for the next process: it need not load Keras.

Each is under the SHA-256 of the file that it was made of, so what is found belongs to the file as it is. Whatever is
missing, damaged or of another version of OpenVINO is made again.
"""

import hashlib
import os
import shutil
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

from realwaste.core.cache_folder import cache_folder
from realwaste.core.files import is_stage_output, replacing
from realwaste.core.log import logger
from realwaste.runtime import openvino_network
from realwaste.runtime.openvino_import import openvino

Networks = dict[str, openvino.Model]
_LAYOUT = 2  # of what is kept, and of how it is made
_MOST = 12  # files whose networks are kept; those that were not used for longest go


def kept(file: Path, names: tuple[str, ...], make: Callable[[], Networks]) -> Networks:
    """The networks made of `file`, from the cache where they are there; else by `make`, and then into the cache.

    Args:
        names: of the networks.
    """
    folder = cache_folder() / "networks"
    place = folder / f"{_digest(file)}-{_LAYOUT}-{version('openvino')}"
    try:
        found = {name: openvino_network.load(place / f"{name}.xml") for name in names}
        os.utime(place)
        return found
    except (OSError, RuntimeError):
        made = make()
    try:
        with replacing(place, is_stage_output) as temporary:
            temporary.mkdir()
            for name in names:
                openvino_network.save(temporary / f"{name}.xml", made[name])
        _forget(folder)
    except OSError as error:
        logger.debug("networks are not kept in %s: %s", folder, error)
    return made


def _digest(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _forget(folder: Path) -> None:
    """Delete what was not used for longest."""
    used = sorted(folder.glob("*-*-*"), key=lambda place: place.stat().st_mtime, reverse=True)
    for place in used[_MOST:]:
        shutil.rmtree(place, ignore_errors=True)
