"""The progress of a stage, which a run after a kill resumes from.

It is stored outside DVC's outputs, in data/.state/<stage>/<key>. The key is a hash of everything that the result
depends on, so a changed parameter, image, line of code or library starts anew. It is deleted when the stage ends.
"""

import hashlib
import json
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from realwaste.core.files import hash_file
from realwaste.core.log import logger
from realwaste.runtime.determinism import library_versions

STATE = Path("data/.state")


@contextmanager
def progress_folder(
    stage: str, settings: Mapping[str, Any], inputs: Iterable[Path], state: Path | None = None
) -> Iterator[Path]:
    """Give the folder for the progress of `stage`: empty, or as a killed run with the same settings and inputs left it.

    Args:
        settings: parameters and what was resolved from them; JSON.
        inputs: files that the result depends on, including code. A table with the hashes of images represents the
            images.
        state: the folder for the progress of all stages, STATE by default.
    """
    state = state or STATE
    content = [settings, {str(path): hash_file(path) for path in inputs}, library_versions()]
    key = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
    folder = state / stage / key
    for other in (state / stage).glob("*"):
        if other != folder:
            shutil.rmtree(other)
    if folder.is_dir() and any(folder.iterdir()):
        logger.info("%s resumes from where the last run was stopped", stage)
    folder.mkdir(parents=True, exist_ok=True)
    yield folder
    shutil.rmtree(state / stage)
