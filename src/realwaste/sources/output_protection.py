"""What DVC deletes before a stage runs: no source may lie in it, and files that a person added to it are moved out."""

import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

import pandas as pd

from realwaste.core.errors import UserError
from realwaste.sources import label_table
from realwaste.sources.image_files import is_image, is_litter, walk


def refuse_source_inside(parameter: str, source: str, outputs: Iterable[Path]) -> None:
    """Raise UserError where a file of `source` lies in an output of a stage, be it by a link or by a table's path.

    Args:
        parameter: that has the source as its value.
        source: a folder, file or table; a word or an address is nowhere.
        outputs: files and folders.
    """
    deleted = {Path(os.path.realpath(output)) for output in outputs}
    for path in _places(Path(source).expanduser()):
        output = next((place for place in (path, *path.parents) if place in deleted), None)
        if output:
            rule = f"{parameter} must lie outside of what stages write: DVC deletes that before a stage runs."
            remedy = f"Move the files out of {os.path.relpath(output)} to a folder of yours, and give that folder."
            raise UserError(
                rule, remedy, source if path.is_relative_to(os.path.realpath(source)) else f"{source}: {path}"
            )


def _places(source: Path) -> Iterator[Path]:
    """Without links: the source, its folders of images, and images that are links or named by a table."""
    yield Path(os.path.realpath(source))
    if source.is_dir():
        for folder, files in walk(source, lambda *_: None):
            images = [file for file in files if is_image(file)]
            yield from [Path(os.path.realpath(folder))] if images else []
            yield from (Path(os.path.realpath(file)) for file in images if file.is_symlink())
    elif source.is_file() and source.suffix.lower() == label_table.SUFFIX:
        yield from (Path(os.path.realpath(file)) for file in label_table.files(source))


def listing(root: Path) -> pd.DataFrame:
    """Path and bytes of each file under `root` but litter; a link, of which nothing is lost, is left out."""
    files = sorted(
        path for path in root.rglob("*") if path.is_file() and not (path.is_symlink() or is_litter(path.name))
    )
    rows = [(file.relative_to(root).as_posix(), file.stat().st_size) for file in files]
    return pd.DataFrame(rows, columns=["path", "bytes"])


def move_added(root: Path, fetched: pd.DataFrame, target: Path) -> list[Path]:
    """Move the files under `root` that `fetched`, a `listing`, lacks, or has with another size, to `target`."""
    known = set(fetched[["path", "bytes"]].itertuples(index=False, name=None))
    moved = []
    for name, size in listing(root).itertuples(index=False, name=None):
        if (name, size) not in known:
            place = _free(target / name)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(root / name, place)
            moved.append(place)
    return moved


def _free(path: Path) -> Path:
    number = 2
    place = path
    while os.path.lexists(place):
        place, number = path.with_stem(f"{path.stem}_{number}"), number + 1
    return place
