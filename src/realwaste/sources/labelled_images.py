"""Photographs with labels of which a model is only asked: a folder, a zip or the address of one, or a table."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from realwaste.core.errors import UserError
from realwaste.core.file_names import safe_file_name
from realwaste.sources import archive, class_folders, label_table, urls
from realwaste.sources.archive_entries import ArchiveError
from realwaste.sources.class_folders import ClassFolders
from realwaste.sources.download_cache import fetch_cached


@dataclass(frozen=True)
class Labelled:
    """A set as long as it is open.

    Attributes:
        name: of the folder, or of the zip or table without its suffix.
        source: fit to be sent around: an address without secrets, the name alone of a path.
        root: a temporary folder with the images as root/<folder>/<file>.
        folders: the names of its folders, sorted.
    """

    name: str
    source: str
    root: Path
    folders: tuple[str, ...]


@contextmanager
def opened(source: str) -> Iterator[Labelled]:
    """The images of `source` until the block ends; a folder's are linked to, a zip's unpacked, an address's cached.

    Raises:
        UserError: nothing there, no sound archive, no folder of images a class, or a folder without one.
    """
    with TemporaryDirectory(prefix="realwaste-") as temporary:
        unpacked, root = Path(temporary, "unpacked"), Path(temporary, "images")
        if "://" in source:
            shown, found = urls.shown(source), _downloaded(source, unpacked)
            name = Path(urls.file_name(source)).stem
        else:
            path = Path(source).expanduser()
            shown, found = safe_file_name(path.resolve().name) or "images", _local(source, path, unpacked)
            name = Path(shown).stem if path.is_file() else shown
        class_folders.lay_out(found, root, lambda file, link: link.symlink_to(file.absolute()))
        yield Labelled(name, shown, root, tuple(found.files))


def _downloaded(url: str, unpacked: Path) -> ClassFolders:
    urls.check(url)
    cached = fetch_cached(url, check=archive.check)
    try:
        return _unzipped(cached.path, unpacked)
    except ArchiveError:
        cached.discard()  # else every later run would trust it
        raise


def _local(source: str, path: Path, unpacked: Path) -> ClassFolders:
    if source and path.is_dir():  # an empty name is an unset variable, not this folder
        return class_folders.find(path, learned=False)
    if path.is_file():
        is_table = path.suffix.lower() == label_table.SUFFIX
        return label_table.find(path, learned=False) if is_table else _unzipped(path, unpacked)
    raise UserError(
        "Labelled photographs must be a folder, a zip, the http(s) URL of a zip, or a CSV, that is there.",
        f"Check the name: from here it is {path.absolute()}. Queued and --temp experiments need an absolute one.",
        source,
    )


def _unzipped(path: Path, unpacked: Path) -> ClassFolders:
    archive.extract(path, unpacked)
    return class_folders.find(unpacked, path, learned=False)
