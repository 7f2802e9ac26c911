"""Labelled images for evaluation only: a folder, a zip file, the URL of a zip file, or a table."""

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
class LabelledImages:
    """A set of labelled images while it is open.

    Attributes:
        name: of the folder, or of the zip or table without its suffix.
        source: safe to publish: a URL without secrets, or only the name of a path.
        root: a temporary folder with the images as root/<folder>/<file>.
        folders: the sorted names of the folders in `root`.
    """

    name: str
    source: str
    root: Path
    folders: tuple[str, ...]


@contextmanager
def open_labelled_images(source: str) -> Iterator[LabelledImages]:
    """Open the images of `source` until the block ends: linked, unpacked from a zip, or from the download cache.

    Raises:
        UserError: the source does not exist, the archive is invalid, or it has no class folders with images.
    """
    with TemporaryDirectory(prefix="realwaste-") as temporary:
        unpacked, root = Path(temporary, "unpacked"), Path(temporary, "images")
        if "://" in source:
            display_name, folders = urls.without_secrets(source), _download(source, unpacked)
            name = Path(urls.file_name(source)).stem
        else:
            path = Path(source).expanduser()
            display_name, folders = safe_file_name(path.resolve().name) or "images", _find_local(source, path, unpacked)
            name = Path(display_name).stem if path.is_file() else display_name
        class_folders.lay_out(folders, root, lambda file, link: link.symlink_to(file.absolute()))
        yield LabelledImages(name, display_name, root, tuple(folders.files))


def _download(url: str, unpacked: Path) -> ClassFolders:
    urls.check(url)
    cached = fetch_cached(url, check=archive.check)
    try:
        return _unzip(cached.path, unpacked)
    except ArchiveError:
        cached.discard()  # otherwise later runs would use it
        raise


def _find_local(source: str, path: Path, unpacked: Path) -> ClassFolders:
    if source and path.is_dir():  # an empty source comes from an unset variable and is not this folder
        return class_folders.find(path, for_training=False)
    if path.is_file():
        is_table = path.suffix.lower() == label_table.SUFFIX
        return label_table.find(path, for_training=False) if is_table else _unzip(path, unpacked)
    raise UserError(
        "Labelled photographs must be an existing folder, zip or CSV, or the http(s) URL of a zip.",
        f"Check the name: from here it is {path.absolute()}. Queued and --temp experiments need an absolute one.",
        source,
    )


def _unzip(path: Path, unpacked: Path) -> ClassFolders:
    archive.extract(path, unpacked)
    return class_folders.find(unpacked, path, for_training=False)
