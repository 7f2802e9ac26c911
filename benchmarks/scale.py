"""`python -m benchmarks.scale --photos FOLDER`: the cost of embedding on Ray, and an estimate for millions of images.

Measures the local engine and Ray with one and two single-core nodes on this machine, in turn, in a few minutes; and the
seconds of reading, decoding, the backbone and writing separately, in one thread.
"""

import argparse
import hashlib
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.parts import pages
from benchmarks.parts.child import ROOT, measure
from benchmarks.parts.ray_nodes import OPEN, started
from benchmarks.parts.scale_tables import table
from realwaste.core import machine
from realwaste.core.files import write_json

RESULTS, PAGE = ROOT / "benchmarks/scale.json", ROOT / "docs/scale.md"
COMMAND = "python -m benchmarks.scale"
BATCH = 8
REPETITIONS = 3  # of the photographs: otherwise the job ends before the second node has started its actor
# Row title: number of Ray nodes (0: the local engine), and of threads.
ENGINES = {
    "local, all cores": (0, None),
    "local, one core": (0, 1),
    "Ray, one node of one core": (1, 1),
    "Ray, two nodes of one core": (2, 1),
}


def main() -> None:
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__)
    parser.add_argument("--photos", type=Path, required=True, help="a folder of JPEGs, at any depth")
    parser.add_argument("--backbone", default="MobileNetV2", help="an application, or a .keras feature extractor")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    job = {"photos": str(arguments.photos.resolve()), "name": arguments.backbone, "size": arguments.size}
    step_runs = [measure("scale.time_steps", **job) for _ in range(arguments.repeats)]
    runs = [{"side": side} | _run_engine(*ENGINES[side], job) for _ in range(arguments.repeats) for side in ENGINES]
    # Only the extractor's file name: paths of this machine are not published.
    setup = {"backbone": Path(arguments.backbone).stem, "size": arguments.size, "cores": machine.cores()}
    results = setup | {"apart": step_runs, "runs": runs}
    write_json(RESULTS, results)
    pages.rewrite(PAGE, COMMAND, table(results))


def _run_engine(nodes: int, threads: int | None, job: dict[str, Any]) -> dict[str, Any]:
    if not nodes:
        return measure("scale.embed_photos", threads=threads, address=None, **job)
    with started(nodes) as cluster:
        cluster.pin()
        return measure("scale.embed_photos", threads=threads, address=cluster.address, **job)


def embed_photos(photos: str, name: str, size: int, threads: int | None, address: str | None) -> dict[str, Any]:
    """Embed all photos REPETITIONS times: total seconds, and images/s of the second half, when every core works."""
    from realwaste.embedding import extraction  # noqa: PLC0415
    from realwaste.embedding.extraction import Job  # noqa: PLC0415 - the parent process needs no TensorFlow

    model, root, paths = _prepare(photos, name, size, None if address else threads)
    paths *= REPETITIONS
    if address:
        os.environ |= {"RAY_ADDRESS": address, **OPEN}
    with tempfile.TemporaryDirectory() as folder:
        started, start_time = time.perf_counter(), time.time()
        job = Job(root, paths, "float32", "openvino", size, BATCH, deterministic=True)
        embeddings = extraction.create_embedder("ray" if address else "local", model)(job, checkpoint_dir=Path(folder))
        seconds = time.perf_counter() - started
        parts = sorted((file.stat().st_mtime - start_time, file) for file in Path(folder).glob("rows_*.npy"))
        half = len(parts) // 2
        rows = sum(_row_count(file) for _, file in parts[half:])
        rate = rows / (parts[-1][0] - parts[half - 1][0])
        width = int(embeddings.vectors.shape[1])
    return {
        "images": len(paths),
        "width": width,
        "seconds": seconds,
        "rate": rate,
        "start": seconds - len(paths) / rate,
    }


def time_steps(photos: str, name: str, size: int) -> dict[str, Any]:
    """Seconds per image of each step in one thread; bytes of an image file and of a stored vector."""
    from realwaste.embedding import embeddings  # noqa: PLC0415
    from realwaste.images import reader  # noqa: PLC0415
    from realwaste.runtime import openvino_network  # noqa: PLC0415

    backbone, root, paths = _prepare(photos, name, size, 1)
    network = openvino_network.compile_network(openvino_network.convert(backbone), BATCH, "float32", threads=1)
    files = [root / path for path in paths]
    data: list[bytes] = []
    pixels: list[Any] = []
    vectors: list[Any] = []
    batches = range(0, len(files) - BATCH + 1, BATCH)
    steps: dict[str, Callable[[], object]] = {
        "read": lambda: data.extend(file.read_bytes() for file in files),
        "hash": lambda: [hashlib.md5(content).digest() for content in data],  # noqa: S324 - like DVC
        "decode": lambda: pixels.extend(reader.resize_image(reader.decode_image(content), size) for content in data),
        "backbone": lambda: vectors.extend(network(np.stack(pixels[first : first + BATCH])) for first in batches),
    }
    network(np.zeros((BATCH, size, size, 3), np.uint8))
    seconds = {step: _timed(work) / len(files) for step, work in steps.items()}
    all_vectors = np.concatenate(vectors)
    saved = embeddings.Embeddings(np.asarray(paths[: len(all_vectors)], np.str_), all_vectors)
    with tempfile.TemporaryDirectory() as folder:
        vector_folder = Path(folder) / "vectors"
        seconds["write"] = _timed(lambda: embeddings.save(vector_folder, saved)) / len(all_vectors)
        stored_bytes = sum(file.stat().st_size for file in vector_folder.iterdir())
    return {
        "seconds": seconds,
        "bytes_an_image": sum(map(len, data)) / len(data),
        "bytes_a_vector": stored_bytes / len(all_vectors),
        "width": all_vectors.shape[1],
    }


def _prepare(photos: str, name: str, size: int, threads: int | None) -> tuple[Any, Path, list[str]]:
    import tensorflow as tf  # noqa: PLC0415

    from realwaste.images import file_format  # noqa: PLC0415
    from realwaste.models import feature_extractor  # noqa: PLC0415

    if threads:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    root = Path(photos)
    files = sorted(path for path in root.rglob("*") if path.suffix.lower() in file_format.IMAGE_SUFFIXES)
    return (
        feature_extractor.build(name, size, None, seed=1),
        root,
        [file.relative_to(root).as_posix() for file in files],
    )


def _row_count(file: Path) -> int:
    from realwaste.runtime import array_file  # noqa: PLC0415

    parts = array_file.read(file)
    return len(parts[0]) if parts else 0


def _timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
