"""Predictions for large sets of images: a Parquet file for each part (realwaste.images.image_parts).

A part is predicted as a whole by one process, with the batches that any other process would make of it. So the files do
not depend on how many processes there are, nor on which part was first.
"""

import io
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from fsspec.implementations.local import LocalFileSystem
from pyarrow import parquet

from realwaste.core.errors import UserError, first_line
from realwaste.core.files import atomic_replace
from realwaste.images import image_parts
from realwaste.images.image_parts import Image
from realwaste.images.reader import Pixels, UnreadableImageError, decode_image, resize_image
from realwaste.models.image_predictions import ArrayPrediction, predict_decoded
from realwaste.models.session import Session

JOB_FILE = "_job.json"  # readers of Parquet folders ignore names with an underscore
_SUMMARY = b"realwaste.summary"  # in the metadata of each file
_PART = "part-{:06d}.parquet"
_FOOTERS_AT_ONCE = 16


@dataclass
class Summary:
    """Counts over the images of one or more parts; `classes` has the most probable class of each prediction."""

    images: int = 0
    not_sure: int = 0
    unlike: int = 0
    errors: int = 0
    classes: Counter[str] = field(default_factory=Counter)

    def add(self, other: "Summary") -> None:
        self.images += other.images
        self.not_sure += other.not_sure
        self.unlike += other.unlike
        self.errors += other.errors
        self.classes += other.classes

    def to_json(self) -> str:
        return json.dumps(vars(self))

    @staticmethod
    def from_json(text: bytes | str) -> "Summary":
        values = json.loads(text)
        return Summary(**values | {"classes": Counter(values["classes"])})


def table_schema(classes: Iterable[str]) -> pa.Schema:
    """The columns of a part: path, class, probability, one p_<class> each, novelty, unlike, not_sure, error."""
    texts, flags = dict.fromkeys(("path", "class"), pa.string()), dict.fromkeys(("unlike", "not_sure"), pa.bool_())
    numbers = dict.fromkeys(("probability", *(f"p_{name}" for name in classes), "novelty"), pa.float32())
    return pa.schema(texts | numbers | flags | {"error": pa.string()})


def predict_part(
    session: Session, images: Iterator[Image], min_confidence: float | None, readers: int
) -> tuple[pa.Table, Summary]:
    """A row for each image, in their order; an image that cannot be read has an error and no prediction.

    Args:
        min_confidence: the probability below which a prediction is not_sure, as is a novel image; None: none is.
        readers: the number of threads that decode.
    """
    classes, size = session.metadata.classes, session.metadata.image_size
    rows: list[dict[str, Any]] = []
    with ThreadPoolExecutor(readers) as pool:
        while batch := list(islice(images, session.extract.batch_size)):
            decoded = list(pool.map(lambda image: _decode(image[1], size), batch))
            for (name, _), prediction in zip(batch, predict_decoded(session, decoded), strict=True):
                rows.append({"path": name} | _row(prediction, classes, min_confidence))
    summary = Summary(
        images=len(rows),
        not_sure=sum(bool(row.get("not_sure")) for row in rows),
        unlike=sum(bool(row.get("unlike")) for row in rows),
        errors=sum("error" in row for row in rows),
        classes=Counter(row["class"] for row in rows if "class" in row),
    )
    return pa.Table.from_pylist(rows, table_schema(classes)), summary


def _decode(content: bytes | str, size: int) -> Pixels | str:
    if isinstance(content, str):
        return content
    try:
        return resize_image(decode_image(content), size)
    except UnreadableImageError as error:
        return str(error)


def _row(prediction: ArrayPrediction | str, classes: tuple[str, ...], min_confidence: float | None) -> dict[str, Any]:
    if isinstance(prediction, str):
        return {"error": prediction}
    probabilities, score, is_novel = prediction
    best = int(np.argmax(probabilities))
    not_sure = min_confidence is not None and (bool(is_novel) or bool(probabilities[best] < min_confidence))
    columns = {f"p_{name}": probability for name, probability in zip(classes, probabilities, strict=True)}
    row = {"class": classes[best], "probability": probabilities[best], **columns}
    return row | {"novelty": score, "unlike": is_novel, "not_sure": not_sure}


class Destination:
    """A folder or prefix with a Parquet file for each finished part, and a record of the job that makes them."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._file_system, self._root = image_parts.open_file_system(url)

    def start_or_continue(self, job: Mapping[str, Any]) -> dict[int, Summary]:
        """Store the record of a job in an empty folder, or find the finished parts of the same job.

        Raises:
            UserError: the folder holds something else, or cannot be read or written.
        """
        path = self._path(JOB_FILE)
        try:
            names = [Path(name).name for name in self._file_system.find(self._root)]
            names = [name for name in names if not name.startswith(".")]  # of killed runs
            if JOB_FILE in names:
                stored = json.loads(self._file_system.cat_file(path))
                if stored != dict(job):
                    changed = ", ".join(sorted(key for key in {*stored, *job} if stored.get(key) != job.get(key)))
                    rule = f"{self.url} holds the predictions of another job: {changed} differ."
                    raise UserError(rule, "Name a new folder, or repeat that job to continue it.")
                return self._finished(names)
            if names:
                raise UserError(
                    f"{self.url} must be a new folder, or that of this job.", "Name a new folder.", names[0]
                )
            self._write(JOB_FILE, json.dumps(job, indent=2).encode())
        except UserError:
            raise
        except Exception as error:  # object stores raise many types
            raise self._not_writable(error) from None
        return {}

    def write(self, number: int, table: pa.Table, summary: Summary) -> None:
        """Write a part; it is there as a whole or not at all.

        Raises:
            UserError: it cannot be written, for example because the disk is full.
        """
        buffer = io.BytesIO()
        table = table.replace_schema_metadata({_SUMMARY: summary.to_json()})
        parquet.write_table(table, buffer, compression="zstd")
        try:
            self._write(_PART.format(number), buffer.getvalue())
        except Exception as error:  # object stores raise many types
            raise self._not_writable(error) from None

    def _write(self, name: str, content: bytes) -> None:
        """Object stores show an object when it is complete; in other file systems it is renamed then."""
        path = self._path(name)
        if not isinstance(self._file_system, LocalFileSystem):
            self._file_system.pipe_file(path, content)
            return
        with atomic_replace(Path(path)) as temporary:
            temporary.write_bytes(content)

    def _finished(self, names: Iterable[str]) -> dict[int, Summary]:
        """The summaries of the parts that are there, from the ends of their files."""
        parts = {int(name[5:-8]): name for name in names if name.startswith("part-") and name.endswith(".parquet")}
        with ThreadPoolExecutor(_FOOTERS_AT_ONCE) as pool:
            return dict(zip(parts, pool.map(self._read_summary, parts.values()), strict=True))

    def _read_summary(self, name: str) -> Summary:
        with self._file_system.open(self._path(name), "rb") as file:
            return Summary.from_json(parquet.read_metadata(file).metadata[_SUMMARY])

    def _path(self, name: str) -> str:
        return f"{self._root.rstrip('/')}/{name}"

    def _not_writable(self, error: Exception) -> UserError:
        rule, reason = f"{self.url} must be a folder that can be written.", getattr(error, "strerror", None)
        remedy = "Check its name, the access rights and the free space; then run again: finished parts are kept."
        return UserError(rule, remedy, reason or first_line(error))


def predict_and_write(
    session: Session,
    number: int,
    images: Iterator[Image],
    destination: Destination,
    min_confidence: float | None,
    *,
    readers: int,
) -> Summary:
    """Predict the images of a part with predict_part, and write it under its number."""
    table, summary = predict_part(session, images, min_confidence, readers)
    destination.write(number, table, summary)
    return summary
