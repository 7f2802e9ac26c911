"""`python -m benchmarks.scale --photos FOLDER`: images/s of `realwaste predict --output`, and estimates for a billion.

One process, and Ray with one and two nodes of one core on this machine, predict the same photographs from image files
and from tar shards, on disk and on an S3 server of this machine. The steps of a prediction are also timed separately.
"""

import argparse
import os
import shutil
import tarfile
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from benchmarks.parts import pages, s3_server
from benchmarks.parts.child import ROOT, measure
from benchmarks.parts.ray_nodes import OPEN, started
from benchmarks.parts.scale_tables import ENGINES, SOURCES, table
from realwaste.core import log, machine
from realwaste.core.files import write_json
from realwaste.images import image_parts
from realwaste.images.file_format import IMAGE_SUFFIXES
from realwaste.images.reader import decode_image, resize_image
from realwaste.models import part_predictions, ray_predictions
from realwaste.models.image_predictions import predict_arrays
from realwaste.models.session import open_session

RESULTS, PAGE = ROOT / "benchmarks/scale.json", ROOT / "docs/scale.md"
COMMAND = "python -m benchmarks.scale"
IMAGES_PER_PART = 64  # instead of 1,024: a few thousand images then have enough parts for two nodes
TIMED_PARTS = 16
BUCKET = "scale"
Result = TypeVar("Result")


def main() -> None:
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__)
    parser.add_argument("--photos", type=Path, required=True, help="a folder of JPEGs, at any depth")
    parser.add_argument("--model", type=Path, default=ROOT / "models/edge.keras", help="default: that of `make repro`")
    parser.add_argument("--images", type=int, default=4096, help="number per run; photographs are repeated")
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    log.setup()
    with tempfile.TemporaryDirectory() as folder, s3_server.started(BUCKET) as server:
        sources = make_sources(Path(folder), arguments.photos, arguments.images, server.client)
        model = str(arguments.model.resolve())
        results = {"model": arguments.model.name, "machine": pages.this_machine(), "cores": machine.cores()}
        options = {"sources": sources, "model": model, "folder": folder}
        results["steps"] = [measure("scale.time_steps", **options) for _ in range(arguments.repeats)]
        results["runs"] = [run for _ in range(arguments.repeats) for run in _runs(sources, model)]
    write_json(RESULTS, results)
    pages.rewrite(PAGE, COMMAND, table(results))


def _runs(sources: Mapping[str, str], model: str) -> Iterator[dict[str, Any]]:
    for engine, nodes in ENGINES.items():
        for source, url in sources.items():
            if nodes:
                with started(nodes) as cluster:
                    cluster.pin()
                    run = measure("scale.predict_set", url=url, address=cluster.address, model=model)
            else:
                run = measure("scale.predict_set", url=url, address=None, model=model)
            log.logger.info("%s, %s: %.0f images/s", engine, source, run["rate"])
            yield {"engine": engine, "source": source} | run


def make_sources(folder: Path, photos: Path, images: int, client: Any) -> dict[str, str]:
    """Write the photographs as files and as tar shards into `folder` and the bucket: their URLs by title."""
    photographs = sorted(path for path in photos.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)
    names = [f"{number:06d}.jpg" for number in range(images)]
    paths = {name: photographs[number % len(photographs)] for number, name in enumerate(names)}
    (folder / "files").mkdir()
    (folder / "shards").mkdir()
    for name, path in paths.items():
        shutil.copyfile(path, folder / "files" / name)
    for first in range(0, images, IMAGES_PER_PART):
        with tarfile.open(folder / f"shards/{first:06d}.tar", "w") as shard:
            for name in names[first : first + IMAGES_PER_PART]:
                shard.add(paths[name], name)
    for file in (*(folder / "files").iterdir(), *(folder / "shards").iterdir()):
        client.upload_file(str(file), BUCKET, f"{file.parent.name}/{file.name}")
    urls = (str(folder / "files"), str(folder / "shards"), f"s3://{BUCKET}/files", f"s3://{BUCKET}/shards")
    return dict(zip(SOURCES, urls, strict=True))


def predict_set(url: str, model: str, address: str | None) -> dict[str, Any]:
    """Predict a source to where it is, as the command does: its seconds, and images/s of the later half of the parts.

    Args:
        address: of a Ray cluster; None: this process predicts, on one core.
    """
    image_parts.IMAGES_PER_PART = IMAGES_PER_PART
    output = f"{url.rpartition('/')[0]}/predictions-{time.time_ns()}"
    start = time.perf_counter()
    source, destination = image_parts.list_source(url), part_predictions.Destination(output)
    destination.start_or_continue({})
    if address:
        os.environ |= {"RAY_ADDRESS": address, **OPEN}
        results = ray_predictions.predict_parts(Path(model), source, source.parts, output, None)
        summaries = (summary for _, summary in results)
    else:
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])
        session = open_session(Path(model), threads=1)
        parts = ((part.number, image_parts.read_part(source.url, source.root, part)) for part in source.parts)
        summaries = (part_predictions.predict_and_write(session, *part, destination, None, readers=1) for part in parts)
    times, counts = [], []
    for summary in summaries:
        times.append(time.perf_counter() - start)
        counts.append(summary.images)
    half = len(times) // 2
    rate = sum(counts[half:]) / (times[-1] - times[half - 1])
    return {"images": sum(counts), "rate": rate, "seconds": times[-1], "start": times[0]}


def time_steps(sources: dict[str, str], model: str, folder: str) -> dict[str, Any]:
    """Seconds per image of each step in one thread; bytes of an image, of a row of the output and of a listed file."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])
    image_parts.IMAGES_PER_PART = IMAGES_PER_PART
    session = open_session(Path(model), threads=1)
    size, batch_size, seconds = session.metadata.image_size, session.extract.batch_size, {}
    images: list[image_parts.Image] = []
    for title, url in sources.items():
        source, seconds[f"list, {title}"] = _timed(partial(image_parts.list_source, url))
        seconds[f"list, {title}"] /= sum(len(part.files) for part in source.parts)
        images, read = _timed(partial(_read, source, source.parts[:TIMED_PARTS]))
        seconds[f"read, {title}"] = read / len(images)
    tracemalloc.start()
    files = image_parts.list_source(next(iter(sources.values()))).images
    listed_bytes = tracemalloc.get_traced_memory()[1] / (files or 1)
    tracemalloc.stop()
    contents = [content for _, content in images if isinstance(content, bytes)]
    pixels, decode = _timed(lambda: [resize_image(decode_image(content), size) for content in contents])
    batches = [pixels[first : first + batch_size] for first in range(0, len(pixels), batch_size)]
    predict_arrays(session, batches[0])
    _, predict = _timed(lambda: [predict_arrays(session, batch) for batch in batches])
    output = part_predictions.Destination(f"{folder}/written")
    # Repeated photographs would compress too well.
    images = list({content: (name, content) for name, content in images}.values())
    part, summary = part_predictions.predict_part(session, iter(images), None, readers=1)
    _, write = _timed(lambda: output.write(0, part, summary))
    seconds |= {"decode": decode / len(contents), "predict": predict / len(contents), "write": write / len(images)}
    return {
        "seconds": seconds,
        "precision": session.metadata.precision,
        "image_bytes": sum(map(len, contents)) / len(contents),
        "listed_bytes": listed_bytes,
        "row_bytes": sum(file.stat().st_size for file in Path(output.url).iterdir()) / len(images),
    }


def _read(source: image_parts.Source, parts: Sequence[image_parts.Part]) -> list[image_parts.Image]:
    return [image for part in parts for image in image_parts.read_part(source.url, source.root, part)]


def _timed(work: Callable[[], Result]) -> tuple[Result, float]:
    start = time.perf_counter()
    return work(), time.perf_counter() - start


if __name__ == "__main__":
    main()
