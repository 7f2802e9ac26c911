"""A cache of networks converted to OpenVINO, in the user's cache folder, for model files that do not contain them.

An entry is named by the SHA-256 of the model file that it was converted from, so a changed file has another entry. An
entry that is missing, damaged or written by another version of OpenVINO is converted again.
"""

import os
import shutil
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

from realwaste.core.files import atomic_replace, cache_folder, hash_file, is_stage_output
from realwaste.core.log import logger
from realwaste.runtime import openvino_network
from realwaste.runtime.openvino_network import openvino

Networks = dict[str, openvino.Model]
_MAX_ENTRIES = 12  # the least recently used entries are deleted


def load_or_convert(model_file: Path, names: tuple[str, ...], convert: Callable[[], Networks]) -> Networks:
    """The networks of `model_file` from the cache; if they are not there, from `convert`, and then cached.

    Args:
        names: the keys of the networks.
    """
    folder = cache_folder() / "networks"
    entry = folder / f"{hash_file(model_file)}-{openvino_network.VERSION}-{version('openvino')}"
    try:
        cached = {name: openvino_network.load(entry / f"{name}.xml") for name in names}
        os.utime(entry)
        return cached
    except (OSError, RuntimeError):
        logger.info("preparing %s for this machine (once)", model_file)
        networks = convert()
    try:
        with atomic_replace(entry, is_stage_output) as temporary:
            temporary.mkdir()
            for name in names:
                openvino_network.save(temporary / f"{name}.xml", networks[name])
        newest_first = sorted(folder.glob("*-*-*"), key=lambda path: path.stat().st_mtime, reverse=True)
        for old_entry in newest_first[_MAX_ENTRIES:]:
            shutil.rmtree(old_entry, ignore_errors=True)
    except OSError as error:
        logger.debug("converted networks could not be cached in %s: %s", folder, error)
    return networks
