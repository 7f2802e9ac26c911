"""Predicting parts on a Ray cluster: each actor loads the model once, and reads, predicts and writes whole parts.

No process sees all rows: an actor writes its part itself and returns only counts. A part that is computed twice,
because a node was lost, overwrites itself with the same bytes. Ray Data schedules the parts and restarts lost actors;
its readers and writers are not used, since they do not tell which rows a stopped job has already written.
"""

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from realwaste.cluster import actor_pool, connection, waiting, worker_environment
from realwaste.core.errors import UserError
from realwaste.core.log import logger
from realwaste.images import image_parts
from realwaste.images.image_parts import Part, Source
from realwaste.models import session
from realwaste.models.part_predictions import Destination, Summary, predict_and_write
from realwaste.models.session import Session
from realwaste.runtime import determinism


@dataclass(frozen=True)
class ActorTask:
    """What an actor needs."""

    model: Any  # a reference to the bytes of the model file in Ray's object store
    source_url: str
    source_root: str
    destination: str
    min_confidence: float | None
    versions: dict[str, str]  # of the libraries of the sender


def predict_parts(
    model: Path, source: Source, parts: Sequence[Part], destination: str, min_confidence: float | None
) -> Iterator[tuple[int, Summary]]:
    """The number and counts of each part, as soon as it is written.

    Raises:
        UserError: no cluster; a node with other libraries; a part that cannot be read or written; no part for long.
    """
    with connection.connected():
        import ray  # noqa: PLC0415 - an extra

        actors = min(connection.count_cpus(), len(parts))
        nodes = len(connection.cores_per_node())
        logger.info("%d parts, predicted by %d processes on %d nodes", len(parts), actors, nodes)
        versions = determinism.library_versions(determinism.INFERENCE_LIBRARIES)
        task = ActorTask(ray.put(model.read_bytes()), source.url, source.root, destination, min_confidence, versions)
        items = [{"part": part.to_json()} for part in parts]
        rows = actor_pool.map_parts(PredictionActor, task, items, actors)
        for row in waiting.with_timeout(rows, "parts"):
            yield row["number"], Summary.from_json(row["summary"])


class PredictionActor:
    """A Ray actor. It loads the model with its first part, so that an error of loading is returned as a result."""

    def __init__(self, task: ActorTask) -> None:
        self._task = task
        self._session: Session | None = None

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        part, summary, error_text = Part.from_json(batch["part"].tolist()[0]), Summary(), ""
        try:
            summary = self._predict(part)
        except UserError as error:
            error_text = worker_environment.error_to_text(error)
        return {"number": [part.number], "summary": [summary.to_json()], "error": [error_text]}

    def _predict(self, part: Part) -> Summary:
        task = self._task
        if self._session is None:
            self._session = self._load()
        images = image_parts.read_part(task.source_url, task.source_root, part)
        destination = Destination(task.destination)
        return predict_and_write(self._session, part.number, images, destination, task.min_confidence, readers=1)

    def _load(self) -> Session:
        import ray  # noqa: PLC0415 - an extra

        worker_environment.require_versions(self._task.versions)
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "model.keras"
            file.write_bytes(ray.get(self._task.model))
            loaded = session.open_session(file, threads=1)
            loaded.extract  # noqa: B018 - compiled while the file is there
        return loaded
