"""`python -m benchmarks.scale --photos FOLDER`: what embedding costs on Ray, and what that makes of millions of images.

The local engine, and Ray with one and with two nodes of a core each on this machine, in turn, a few minutes in all; and
what reading, decoding, the backbone and writing take apart, in one thread.
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
# The engines, by their titles: Ray nodes (0: the local engine) and threads.
TIMES = 3  # else the job is over while the second node is still starting its actor
SIDES = {
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
    given = parser.parse_args()
    about = {"photos": str(given.photos.resolve()), "name": given.backbone, "size": given.size}
    apart = [measure("scale.apart", **about) for _ in range(given.repeats)]
    runs = [{"side": side} | _side(*SIDES[side], about) for _ in range(given.repeats) for side in SIDES]
    # The extractor by its name alone: the paths of a machine are nobody's business.
    setup = {"backbone": Path(given.backbone).stem, "size": given.size, "cores": machine.cores()}
    found = setup | {"apart": apart, "runs": runs}
    write_json(RESULTS, found)
    pages.rewrite(PAGE, COMMAND, table(found))


def _side(nodes: int, threads: int | None, about: dict[str, Any]) -> dict[str, Any]:
    if not nodes:
        return measure("scale.embedded", threads=threads, address=None, **about)
    with started(nodes) as cluster:
        cluster.pin()
        return measure("scale.embedded", threads=threads, address=cluster.address, **about)


def embedded(photos: str, name: str, size: int, threads: int | None, address: str | None) -> dict[str, Any]:
    """All photos by an engine, TIMES over: seconds in all, and images/s of the later half, with every core at work."""
    from realwaste.embedding import extraction  # noqa: PLC0415
    from realwaste.embedding.local_extraction import Job  # noqa: PLC0415 - the parent process needs no TensorFlow

    model, root, paths = _ready(photos, name, size, None if address else threads)
    paths *= TIMES
    if address:
        os.environ |= {"RAY_ADDRESS": address, **OPEN}
    with tempfile.TemporaryDirectory() as kept:
        began, clock = time.perf_counter(), time.time()
        job = Job(root, paths, "float32", "openvino", size, BATCH, deterministic=True)
        found = extraction.create_embedder("ray" if address else "local", model)(job, checkpoint_dir=Path(kept))
        seconds = time.perf_counter() - began
        parts = sorted((file.stat().st_mtime - clock, file) for file in Path(kept).glob("rows_*.npy"))
        warm = len(parts) // 2
        rows = sum(_rows_of(file) for _, file in parts[warm:])
        rate = rows / (parts[-1][0] - parts[warm - 1][0])
        width = int(found.vectors.shape[1])
    return {
        "images": len(paths),
        "width": width,
        "seconds": seconds,
        "rate": rate,
        "start": seconds - len(paths) / rate,
    }


def apart(photos: str, name: str, size: int) -> dict[str, Any]:
    """Seconds an image of each step, one thread; bytes of an image and of a vector as they are kept."""
    from realwaste.embedding import embeddings  # noqa: PLC0415
    from realwaste.images import reader  # noqa: PLC0415
    from realwaste.runtime import openvino_network  # noqa: PLC0415

    plain, root, paths = _ready(photos, name, size, 1)
    network = openvino_network.compile_network(openvino_network.convert(plain), BATCH, "float32", threads=1)
    files = [root / path for path in paths]
    data: list[bytes] = []
    pixels: list[Any] = []
    vectors: list[Any] = []
    batches = range(0, len(files) - BATCH + 1, BATCH)
    steps: dict[str, Callable[[], object]] = {
        "read": lambda: data.extend(file.read_bytes() for file in files),
        "hash": lambda: [hashlib.md5(one).digest() for one in data],  # noqa: S324 - as DVC does
        "decode": lambda: pixels.extend(reader.resize(reader.decode(one), size) for one in data),
        "backbone": lambda: vectors.extend(network(np.stack(pixels[at : at + BATCH])) for at in batches),
    }
    network(np.zeros((BATCH, size, size, 3), np.uint8))
    seconds = {step: _timed(work) / len(files) for step, work in steps.items()}
    whole = np.concatenate(vectors)
    kept = embeddings.Embeddings(np.asarray(paths[: len(whole)], np.str_), whole)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "vectors"
        seconds["write"] = _timed(lambda: embeddings.save(place, kept)) / len(whole)
        size_kept = sum(file.stat().st_size for file in place.iterdir())
    return {
        "seconds": seconds,
        "bytes_an_image": sum(map(len, data)) / len(data),
        "bytes_a_vector": size_kept / len(whole),
        "width": whole.shape[1],
    }


def _ready(photos: str, name: str, size: int, threads: int | None) -> tuple[Any, Path, list[str]]:
    import tensorflow as tf  # noqa: PLC0415

    from realwaste.models import feature_extractor  # noqa: PLC0415
    from realwaste.sources import image_files  # noqa: PLC0415

    if threads:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    root = Path(photos)
    files = sorted(path for path in root.rglob("*") if path.suffix.lower() in image_files.SUFFIXES)
    return (
        feature_extractor.build(name, size, None, seed=1),
        root,
        [file.relative_to(root).as_posix() for file in files],
    )


def _rows_of(file: Path) -> int:
    from realwaste.runtime import array_file  # noqa: PLC0415

    found = array_file.read(file)
    return len(found[0]) if found else 0


def _timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
