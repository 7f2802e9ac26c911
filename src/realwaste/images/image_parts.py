"""Large sets of images in parts: files of a folder or an object store, tar shards (WebDataset), or Parquet files.

A part is a unit of work: about a thousand files, or one shard. The same source has the same parts at each listing, so
that a stopped job continues. A source is a path, or any URL that fsspec reads, such as s3://bucket/prefix.
"""

import hashlib
import json
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, TypeVar

from realwaste.core.errors import UserError, first_line
from realwaste.core.file_names import to_unicode
from realwaste.images.file_format import IMAGE_SUFFIXES
from realwaste.images.reader import MAX_BYTES

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

IMAGES_PER_PART = 1024
KINDS = {"tar": (".tar", ".tar.gz", ".tgz"), "parquet": (".parquet",), "images": tuple(IMAGE_SUFFIXES)}
IMAGE_COLUMNS = ("image", "bytes")
"""Columns of a Parquet file that may hold the images: bytes, or a struct with `bytes`, as Hugging Face writes them."""
NAME_COLUMN = "path"
_READ_AT_ONCE = 32  # files that are read at the same time from an object store
Item = TypeVar("Item")
Image = tuple[str, bytes | str]
"""The name of an image, and its bytes or the reason why it cannot be read."""


@dataclass(frozen=True)
class Part:
    """A part of a source."""

    number: int  # from 0
    kind: str  # a key of KINDS
    files: tuple[tuple[str, int], ...]  # paths in the file system, and sizes in bytes: image files, or one shard

    def to_json(self) -> str:
        return json.dumps([self.number, self.kind, self.files])

    @staticmethod
    def from_json(text: str) -> "Part":
        number, kind, files = json.loads(text)
        return Part(number, kind, tuple((path, size) for path, size in files))


@dataclass(frozen=True)
class Source:
    """Images in parts."""

    url: str  # as the user named it; a local path is absolute
    root: str  # the same in its file system, from which names of images are relative
    parts: tuple[Part, ...]

    @property
    def images(self) -> int | None:
        """How many images there are; None if only shards are known."""
        return sum(len(part.files) for part in self.parts) if self.parts[0].kind == "images" else None

    def digest(self) -> str:
        """A SHA-256 of the names and sizes of all files."""
        names = [[_relative(path, self.root), size] for part in self.parts for path, size in part.files]
        return hashlib.sha256(json.dumps(names).encode()).hexdigest()


def open_file_system(url: str) -> "tuple[AbstractFileSystem, str]":
    """The file system of a path or URL, and the path in it.

    Raises:
        UserError: the protocol is unknown, or its package is not installed.
    """
    import fsspec  # noqa: PLC0415 - an extra

    try:
        return fsspec.core.url_to_fs(url if "://" in url else str(Path(url).absolute()))
    except (ImportError, ValueError) as error:
        rule = f"{url} must be a folder, or a URL that fsspec can read, such as s3://bucket/prefix."
        raise UserError(rule, "For s3:// install the extra: pip install '.[s3]'.", first_line(error)) from None


def list_source(url: str) -> Source:
    """List a folder, prefix or single file. Names that begin with a dot or an underscore are left out.

    Raises:
        UserError: it cannot be listed, holds nothing that can be predicted, or holds several kinds of files.
    """
    file_system, root = open_file_system(url)
    try:
        entries = file_system.find(root, detail=True)
    except Exception as error:  # object stores raise many types
        rule, remedy = f"{url} must be a folder or prefix that can be listed.", "Check the name and the access rights."
        raise UserError(rule, remedy, first_line(error)) from None
    sizes = {path: int(entry["size"] or 0) for path, entry in sorted(entries.items()) if entry["type"] == "file"}
    by_kind = {
        kind: [(path, size) for path, size in sizes.items() if _has_suffix(_relative(path, root), suffixes)]
        for kind, suffixes in KINDS.items()
    }
    kinds = [kind for kind, files in by_kind.items() if files]
    if len(kinds) != 1:
        rule = f"{url} must hold images, tar shards or Parquet files, and one of these kinds only."
        remedy = "Name a folder or prefix that holds them." if not kinds else "Name a folder or prefix for each kind."
        raise UserError(rule, remedy, " and ".join(kinds) or f"{len(sizes)} other files")
    (kind,) = kinds
    parts = _split(by_kind[kind], IMAGES_PER_PART if kind == "images" else 1)
    absolute = url if "://" in url else root
    return Source(absolute, root, tuple(Part(number, kind, tuple(files)) for number, files in enumerate(parts)))


def read_part(url: str, root: str, part: Part) -> Iterator[Image]:
    """The images of a part, in their order.

    Raises:
        UserError: a Parquet file has no column with images.
        OSError: the storage failed; a file that is missing or protected is an image that cannot be read.
    """
    file_system, _ = open_file_system(url)
    if part.kind == "images":
        yield from _read_files(file_system, root, part)
    elif part.kind == "tar":
        yield from _read_tar(file_system, root, part.files[0][0])
    else:
        yield from _read_parquet(file_system, root, part.files[0][0])


def _read_files(file_system: "AbstractFileSystem", root: str, part: Part) -> Iterator[Image]:
    for files in _split(part.files, _READ_AT_ONCE):
        readable = [path for path, size in files if size <= MAX_BYTES]
        bounds = [None] * len(readable)
        contents = dict(zip(readable, file_system.cat_ranges(readable, bounds, bounds, on_error="return"), strict=True))
        for path, _ in files:
            yield _relative(path, root), _bytes_or_reason(contents.get(path))


def _bytes_or_reason(content: bytes | Exception | None) -> bytes | str:
    if content is None:
        return f"more than {MAX_BYTES:,} bytes"
    if isinstance(content, (FileNotFoundError, PermissionError)):
        return f"cannot be opened: {first_line(content)}"
    if isinstance(content, Exception):
        raise content
    return content


def _read_tar(file_system: "AbstractFileSystem", root: str, path: str) -> Iterator[Image]:
    name = _relative(path, root)
    try:
        with file_system.open(path, "rb") as file, tarfile.open(fileobj=file, mode="r|*") as archive:
            for member in archive:
                if not member.isfile() or not _has_suffix(member.name.removeprefix("./"), KINDS["images"]):
                    continue
                image = f"{name}/{to_unicode(member.name.removeprefix('./'))}"
                content = archive.extractfile(member) if member.size <= MAX_BYTES else None
                yield image, f"more than {MAX_BYTES:,} bytes" if content is None else content.read()
    except (tarfile.TarError, EOFError) as error:
        yield name, f"damaged tar file: {first_line(error)}"


def _read_parquet(file_system: "AbstractFileSystem", root: str, path: str) -> Iterator[Image]:
    import pyarrow as pa  # noqa: PLC0415 - an extra
    from pyarrow import parquet  # noqa: PLC0415

    name = _relative(path, root)
    try:
        with file_system.open(path, "rb") as file, parquet.ParquetFile(file) as table:
            column, names = _find_columns(name, table.schema_arrow)
            row = 0
            for batch in table.iter_batches(_READ_AT_ONCE, columns=[column, *names]):
                images = batch.column(column)
                if pa.types.is_struct(images.type):
                    images = images.field("bytes")
                paths = batch.column(names[0]) if names else [None] * len(images)
                for image, image_path in zip(images, paths, strict=True):
                    stored_path = None if image_path is None else image_path.as_py()
                    yield str(stored_path or f"{name}/{row}"), image.as_py() or "no image in this row"
                    row += 1
    except (pa.ArrowInvalid, OSError) as error:
        # Arrow reports a damaged page by a plain OSError; errors of the storage have a number or a class of their own.
        if isinstance(error, OSError) and (type(error) is not OSError or error.errno is not None):
            raise
        yield name, f"damaged Parquet file: {first_line(error)}"


def _find_columns(name: str, schema: Any) -> tuple[str, list[str]]:
    """The column with the images, and that with their names if there is one."""
    column = next((column for column in IMAGE_COLUMNS if _has_bytes(column, schema)), None)
    if column is None:
        rule = f"{name} must have a column {' or '.join(IMAGE_COLUMNS)} with the bytes of image files."
        types = ", ".join(f"{column} ({kind})" for column, kind in zip(schema.names, schema.types, strict=True))
        raise UserError(rule, "Rename the column that has them.", types)
    return column, [NAME_COLUMN] if NAME_COLUMN in schema.names else []


def _has_bytes(column: str, schema: Any) -> bool:
    """Whether a column has bytes, or a struct with the field `bytes`, as in Hugging Face's data sets."""
    import pyarrow as pa  # noqa: PLC0415 - an extra

    if column not in schema.names:
        return False
    kind = schema.field(column).type
    if pa.types.is_struct(kind):
        return kind.get_field_index("bytes") >= 0
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _split(items: Sequence[Item], count: int) -> Iterator[Sequence[Item]]:
    return (items[start : start + count] for start in range(0, len(items), count))


def _relative(path: str, root: str) -> str:
    """The path below `root`; of a source that is a single file, its name."""
    return to_unicode(path.removeprefix(root.rstrip("/")).lstrip("/") or PurePosixPath(path).name)


def _has_suffix(name: str, suffixes: tuple[str, ...]) -> bool:
    hidden = any(folder.startswith((".", "_")) for folder in name.split("/"))
    return not hidden and name.lower().endswith(suffixes)
