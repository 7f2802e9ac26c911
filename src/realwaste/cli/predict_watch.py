"""A folder that photographs come into, as a camera's: each once, when it is whole.

By polling. Network drives, where such folders are, tell nobody of new files, so packages that wait for events poll
there too; and whether a file still grows has to be asked again and again anyway.
"""

import time
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from itertools import chain
from pathlib import Path

from realwaste.cli import image_paths, predictions_csv
from realwaste.core.errors import UserError
from realwaste.core.file_names import printable
from realwaste.core.log import logger

Stamp = tuple[int, int]  # bytes, and the time of the last change in ns
PAUSE_S = 0.5  # between two looks; longer where a look takes long
SETTLED_S = 1.5  # without a change, after which a file is whole
_SHARE = 10  # of its time, a tenth is for looking


def check(folder: Path) -> None:
    """UserError where there is no folder to watch."""
    if not folder.is_dir():
        rule = "--watch must name a folder that is there."
        raise UserError(rule, "Make it, or check the name.", str(folder))


def rounds(folder: Path, given: Sequence[Path], written: AbstractSet[str]) -> Iterator[list[Path]]:
    """What to look at: photographs given from elsewhere, then, without an end, those that come into `folder`.

    Those that are there when this is called are passed over, but for those given: they are looked at as if they came.

    Args:
        written: paths of an earlier run, as answer_csv.paths_in: these are passed over too.
    """
    place = folder.resolve()
    asked = {path.resolve() for path in given}
    there = stamps(folder)
    known = {
        path: stamp
        for path, stamp in there.items()
        if path.resolve() not in asked or predictions_csv.path_cell(str(path)) in written
    }
    logger.info(
        "watching %s: %d of %d files there are passed over; Ctrl-C ends", printable(folder), len(known), len(there)
    )
    elsewhere = [path for path in given if not path.resolve().is_relative_to(place)]
    return chain([elsewhere] if elsewhere else [], whole_files(folder, known))


def stamps(folder: Path) -> dict[Path, Stamp]:
    """Of the images in a folder, at every depth."""
    found = {}
    for path in image_paths.images_in_folder(folder, lambda *_: None):  # looked at again and again: nothing is said twice
        with suppress(OSError):  # it has gone meanwhile
            about = path.stat()
            found[path] = about.st_size, about.st_mtime_ns
    return found


def whole_files(folder: Path, known: dict[Path, Stamp]) -> Iterator[list[Path]]:
    """Images that are whole and not known, each once, the oldest first; it never ends.

    An image is whole once it is not empty and has not changed for SETTLED_S; one that is renamed into the folder need
    not wait longer than others. One that changes after it was given is given again: it is another photograph.

    Args:
        known: what was given already, as of `stamps`; what is given is added to it.
    """
    waiting: dict[Path, tuple[Stamp, float]] = {}
    there = True
    while True:
        began = time.monotonic()
        if there != folder.is_dir():
            there = not there
            logger.warning("%s is %s", printable(folder), "back" if there else "not there: waiting for it")
        found = stamps(folder)
        new = {path: stamp for path, stamp in found.items() if stamp[0] and known.get(path) != stamp}
        waiting = {
            path: waiting[path] if path in waiting and waiting[path][0] == stamp else (stamp, began)
            for path, stamp in new.items()
        }
        whole = [path for path, (_, since) in waiting.items() if began - since >= SETTLED_S]
        if whole:
            known |= {path: new[path] for path in whole}
            yield sorted(whole, key=lambda path: (new[path][1], path))
        else:
            time.sleep(max(PAUSE_S, _SHARE * (time.monotonic() - began)))
