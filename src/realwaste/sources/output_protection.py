"""Protects a user's files in outputs, which stages replace whole: sources there are refused, added files moved out."""

import os
import shutil
from collections.abc import Iterable, Iterator
from itertools import chain, count
from pathlib import Path

import pandas as pd

from realwaste.core.errors import UserError
from realwaste.sources import label_table
from realwaste.sources.image_files import is_hidden_or_system, is_image, walk_folders


def refuse_source_inside(parameter: str, source: str, outputs: Iterable[Path]) -> None:
    """Raise UserError if a file of `source` is in an output of a stage, directly, by a link, or by a table's path.

    Values of `parameter` that are no path, such as `auto` or a URL, are accepted.
    """
    deleted = {Path(os.path.realpath(output)) for output in outputs}
    for path in _source_paths(Path(source).expanduser()):
        output = next((parent for parent in (path, *path.parents) if parent in deleted), None)
        if output:
            rule = f"{parameter} must lie outside of what stages write, because stages replace their outputs whole."
            remedy = f"Move the files out of {os.path.relpath(output)} to a folder of yours, and give that folder."
            received = source if path.is_relative_to(os.path.realpath(source)) else f"{source}: {path}"
            raise UserError(rule, remedy, received)


def _source_paths(source: Path) -> Iterator[Path]:
    """The resolved paths of the source, its folders with images, and images that are links or named by a table."""
    yield Path(os.path.realpath(source))
    if source.is_dir():
        for folder, files in walk_folders(source, lambda *_: None):
            images = [file for file in files if is_image(file)]
            yield from [Path(os.path.realpath(folder))] if images else []
            yield from (Path(os.path.realpath(file)) for file in images if file.is_symlink())
    elif source.is_file() and source.suffix.lower() == label_table.SUFFIX:
        yield from (Path(os.path.realpath(file)) for file in label_table.named_files(source))


def list_files(root: Path) -> pd.DataFrame:
    """Path and size of each file under `root`, without hidden and system files, and without links."""
    files = sorted(
        path for path in root.rglob("*") if path.is_file() and not (path.is_symlink() or is_hidden_or_system(path.name))
    )
    rows = [(file.relative_to(root).as_posix(), file.stat().st_size) for file in files]
    return pd.DataFrame(rows, columns=["path", "bytes"])


def move_added_files(root: Path, fetched: pd.DataFrame, target: Path) -> list[Path]:
    """Move the files under `root` that `fetched`, from list_files, lacks or has with another size, to `target`."""
    fetched_files = set(fetched[["path", "bytes"]].itertuples(index=False, name=None))
    moved = []
    for name, size in list_files(root).itertuples(index=False, name=None):
        if (name, size) not in fetched_files:
            destination = _unused_path(target / name)
            destination.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(root / name, destination)
            moved.append(destination)
    return moved


def _unused_path(path: Path) -> Path:
    numbered = (path.with_stem(f"{path.stem}_{number}") for number in count(2))
    return next(candidate for candidate in chain([path], numbered) if not os.path.lexists(candidate))
