"""The inputs of `realwaste predict`, all as files: files, folders, patterns, URLs, standard input, a watched folder.

A watched folder is polled. Such folders are often on network drives, which send no events of new files, so packages for
file events poll there too. And whether a file is still being written can only be found by looking again.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit, urlunsplit

from realwaste.cli import image_paths
from realwaste.core.file_names import printable
from realwaste.core.log import logger
from realwaste.images import remote_image
from realwaste.images.remote_image import STANDARD_INPUT, RemoteImage
from realwaste.sources import urls


@dataclass(frozen=True)
class Inputs:
    """Photographs to predict."""

    paths: list[Path]  # each once, in the order of the arguments
    remote: dict[Path, RemoteImage]  # those to download, or to copy from standard input, to their path first
    local: list[str]  # the arguments that are files, folders or patterns

    def name(self, path: Path) -> str:
        """The file or address as the user named it."""
        return self.remote[path].source if path in self.remote else str(path)


@contextmanager
def open_inputs(arguments: Sequence[str], *, required: bool = True) -> Iterator[Inputs]:
    """The photographs that `arguments` name; temporary files of downloads exist as long as the block runs.

    Standard input is read at once, URLs are downloaded when they are needed.

    Args:
        arguments: as for image_paths.find_images; or http(s) URLs; or `-`, standard input.
        required: whether there must be a photograph.

    Raises:
        UserError: as image_paths.find_images; a URL is invalid; or standard input is a terminal.
    """
    with TemporaryDirectory(prefix="realwaste-") as temporary:
        inputs = Inputs([], {}, [])
        for number, argument in enumerate(dict.fromkeys(arguments)):
            if argument == STANDARD_INPUT or "://" in argument:
                file, image = _open_remote(argument, Path(temporary, str(number)))
                inputs.remote[file] = image
                inputs.paths.append(file)
            else:
                inputs.local.append(argument)
                inputs.paths.extend(image_paths.images_of(argument))
        unique = image_paths.require_images(arguments, inputs.paths) if required else dict.fromkeys(inputs.paths)
        yield replace(inputs, paths=list(unique))


def _open_remote(argument: str, folder: Path) -> tuple[Path, RemoteImage]:
    """The file to which a URL or standard input is written when it is needed, and what writes it."""
    if argument == STANDARD_INPUT:
        data, file = remote_image.read_standard_input(), folder / "standard input"
        return file, RemoteImage(argument, file, lambda: data)
    urls.check(argument)
    from realwaste.cli import predict_download  # noqa: PLC0415 - requests, which local files do not need

    parts, file = urlsplit(argument), folder / urls.file_name(argument)
    without_password = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))  # results are shared
    return file, RemoteImage(without_password, file, partial(predict_download.download, argument))


Stamp = tuple[int, int]  # size in bytes, and the time of the last change in ns
PAUSE_S = 0.5  # between two scans of the folder; longer if a scan takes long
SETTLED_S = 1.5  # a file that has not changed for so long is complete
_PAUSE_PER_SCAN_TIME = 10  # minimum pause, in durations of a scan


def watch_batches(folder: Path, named: Sequence[Path]) -> Iterator[list[Path]]:
    """Yield the named photographs outside `folder`, then without end those that arrive in `folder`.

    Photographs that are in the folder at the start are skipped, unless they are named.
    """
    place = folder.resolve()
    named_paths = {path.resolve() for path in named}
    present = read_stamps(folder)
    skipped = {path: stamp for path, stamp in present.items() if path.resolve() not in named_paths}
    message = "watching %s: %d of its %d files are skipped; Ctrl-C ends"
    logger.info(message, printable(folder), len(skipped), len(present))
    elsewhere = [path for path in named if not path.resolve().is_relative_to(place)]
    return chain([elsewhere] if elsewhere else [], complete_files(folder, skipped))


def read_stamps(folder: Path) -> dict[Path, Stamp]:
    """The stamps of the images in a folder, at every depth."""
    stamps = {}
    # Without warnings, which would be repeated at each scan.
    for path in image_paths.images_in_folder(folder, lambda *_: None):
        with suppress(OSError):  # deleted since it was listed
            status = path.stat()
            stamps[path] = status.st_size, status.st_mtime_ns
    return stamps


def complete_files(folder: Path, yielded: dict[Path, Stamp]) -> Iterator[list[Path]]:
    """Yield the images that are complete, the oldest first, without end.

    An image is complete if it is not empty and has not changed for SETTLED_S. An image that changes after it was
    yielded (`yielded` has its stamp, and is updated here) is yielded again, as another photograph.
    """
    pending: dict[Path, tuple[Stamp, float]] = {}  # with the time since when the stamp is the same
    folder_exists = True
    while True:
        scan_start = time.monotonic()
        if folder_exists != folder.is_dir():
            folder_exists = not folder_exists
            logger.warning("%s is %s", printable(folder), "back" if folder_exists else "not there: waiting for it")
        stamps = read_stamps(folder)
        new = {path: stamp for path, stamp in stamps.items() if stamp[0] and yielded.get(path) != stamp}
        pending = {
            path: pending[path] if path in pending and pending[path][0] == stamp else (stamp, scan_start)
            for path, stamp in new.items()
        }
        complete = [path for path, (_, since) in pending.items() if scan_start - since >= SETTLED_S]
        if complete:
            yielded |= {path: new[path] for path in complete}
            yield sorted(complete, key=lambda path: (new[path][1], path))
        else:
            time.sleep(max(PAUSE_S, _PAUSE_PER_SCAN_TIME * (time.monotonic() - scan_start)))
