"""Embeds images in a process that a test can time out or kill: `python embedding_job.py ENGINE FOLDER`.

It reads the images in FOLDER/pictures, saves the vectors as FOLDER/<engine>, and resumes from the checkpoint in
FOLDER/checkpoint_<engine>. With REALWASTE_TEST_PARTS=N, Ray's actors compute slightly more than N parts, and the other
parts after the test has deleted FOLDER/held.
"""

import os
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import ray_jobs

from realwaste.cluster import worker_environment
from realwaste.embedding import embeddings, extraction, ray_extraction
from realwaste.models import feature_extractor

SIZE, BATCH = 128, 2
PARTS = "REALWASTE_TEST_PARTS"
_IN_FLIGHT = 4  # Ray returns the last parts only when the next ones are computed


def hold_all_but(parts: int, held: Path) -> None:
    """Let the first `parts` calls of the actors, and a few more, pass. Later calls wait while `held` exists."""

    class HeldActor(ray_extraction.EmbeddingActor):
        def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
            for call in range(parts + _IN_FLIGHT):
                try:
                    (held / str(call)).touch(exist_ok=False)
                except FileExistsError:
                    continue
                except FileNotFoundError:
                    break
                return super().__call__(batch)
            with suppress(FileNotFoundError):
                (held / f"node-{worker_environment.node_id()}").touch()
            while held.exists():
                time.sleep(0.05)
            return super().__call__(batch)

    ray_extraction.EmbeddingActor = HeldActor  # type: ignore[misc]


def embed(engine: str, folder: Path) -> None:
    root, checkpoint_dir = folder / "pictures", folder / f"checkpoint_{engine}"
    paths = sorted(path.relative_to(root).as_posix() for path in root.rglob("*.jpg"))
    if "--lost" in sys.argv:
        root = folder / "nowhere"
    checkpoint_dir.mkdir(exist_ok=True)
    if PARTS in os.environ:
        hold_all_but(int(os.environ[PARTS]), folder / "held")
    model = feature_extractor.build("MobileNetV2", SIZE, None, seed=1)
    job = extraction.Job(root, paths, "float32", "openvino", SIZE, BATCH, deterministic=True)
    result = extraction.create_embedder(engine, model)(job, checkpoint_dir=checkpoint_dir)
    embeddings.save(folder / engine, result)


if __name__ == "__main__":
    ray_jobs.run(embed)
