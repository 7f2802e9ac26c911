"""Images with labels from a folder, a zip file, the URL of a zip file, or a table."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from realwaste.core.errors import UserError
from realwaste.core.file_names import safe_file_name
from realwaste.core.files import hash_file
from realwaste.sources import archive, class_folders, label_table, urls
from realwaste.sources.archive_entries import ArchiveError
from realwaste.sources.class_folders import ClassFolders
from realwaste.sources.download_cache import fetch_cached


@dataclass(frozen=True)
class ImageSet:
    """The images of a source."""

    name: str  # of the folder, or of the zip or table without its suffix
    source: str  # safe to publish: a URL without secrets, or only the name of a path
    folders: ClassFolders
    sha256: str | None  # of the zip or table


def find_images(
    source: str, unpacked: Path, *, for_training: bool = True, sha256: str | None = None, hint: str = ""
) -> ImageSet:
    """Find the images of `source`: where they are, or, if they are in a zip, in the new folder `unpacked`.

    Args:
        for_training: see class_folders.find.
        sha256: which the zip or table must have; None accepts any.
        hint: follows the remedy if there is nothing at `source`.

    Raises:
        UserError: the source does not exist, has another hash, is an invalid archive, or has no class folders.
    """
    if "://" in source:
        digest = None if sha256 is None else f"sha256:{sha256}"
        cached = fetch_cached(source, check=archive.check, digest=digest)
        try:
            folders = _unzip(cached.path, unpacked, for_training)
        except ArchiveError:
            cached.discard()  # otherwise later runs would use it
            raise
        return ImageSet(Path(urls.file_name(source)).stem, urls.without_secrets(source), folders, cached.sha256)
    path = Path(source).expanduser()
    name = safe_file_name(path.resolve().name) or "images"
    if source and path.is_dir():  # an empty source comes from an unset variable and is not this folder
        return ImageSet(name, name, class_folders.find(path, for_training=for_training), None)
    if not path.is_file():
        rule = "Photographs must be an existing folder, zip or CSV, or the http(s) URL of a zip."
        raise UserError(rule, f"Check the name: from here it is {path.absolute()}.{hint}", source)
    digest = hash_file(path)
    if sha256 is not None and digest != sha256.lower():
        raise UserError(f"{path} must have the sha256 of fetch.sha256.", "Correct one of the two.", digest)
    is_table = path.suffix.lower() == label_table.SUFFIX
    folders = label_table.find(path, for_training=for_training) if is_table else _unzip(path, unpacked, for_training)
    return ImageSet(Path(name).stem, name, folders, digest)


def _unzip(path: Path, unpacked: Path, for_training: bool) -> ClassFolders:
    archive.extract(path, unpacked)
    return class_folders.find(unpacked, path, for_training=for_training)


@contextmanager
def open_labelled_images(source: str, *, for_training: bool = False) -> Iterator[tuple[ImageSet, Path]]:
    """Yield the images of `source`, see `find_images`, and a temporary folder with links to them as <Class>/<file>."""
    with TemporaryDirectory(prefix="realwaste-") as temporary:
        unpacked, root = Path(temporary, "unpacked"), Path(temporary, "images")
        images = find_images(source, unpacked, for_training=for_training)
        class_folders.lay_out(images.folders, root, lambda file, link: link.symlink_to(file.absolute()))
        yield images, root
