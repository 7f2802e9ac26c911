"""What a stage that was killed left behind, for the next run of the same work to go on from.

It lies outside DVC's outputs, in data/.state/<stage>/<key>, where the key is a hash of everything the work depends on:
a changed parameter, picture, line of code or library finds nothing to go on from. It goes when the stage ends.
"""

import hashlib
import json
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from realwaste.core.log import logger
from realwaste.runtime.library_versions import versions

STATE = Path("data/.state")


@contextmanager
def state(stage: str, facts: Mapping[str, Any], inputs: Iterable[Path]) -> Iterator[Path]:
    """Give the folder to keep the progress of `stage` in, empty or as a killed run of the same work left it.

    Args:
        facts: parameters and what was resolved from them; JSON.
        inputs: files the work depends on, those of its code included. Tables that hold the hashes of pictures stand
            for the pictures.
    """
    folder = STATE / stage / _key(facts, inputs)
    for other in (STATE / stage).glob("*"):
        if other != folder:
            shutil.rmtree(other)
    if folder.is_dir() and any(folder.iterdir()):
        logger.info("%s goes on from where a run that did not end had come to", stage)
    folder.mkdir(parents=True, exist_ok=True)
    yield folder
    shutil.rmtree(STATE / stage)


def _key(facts: Mapping[str, Any], inputs: Iterable[Path]) -> str:
    whole = json.dumps([facts, {str(path): _digest(path) for path in inputs}, versions()], sort_keys=True)
    return hashlib.sha256(whole.encode()).hexdigest()[:16]


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
