"""Tables of the measurements of benchmarks.scale, and of estimates for millions of images, which are marked as such."""

import math
import statistics
from typing import Any

from benchmarks.parts import pages

ONE_NODE, TWO_NODES = "Ray, one node of one core", "Ray, two nodes of one core"
# Row title: number of Ray nodes of one core; 0: one process on one core.
ENGINES = {"one process, one core": 0, ONE_NODE: 1, TWO_NODES: 2}
SOURCES = ("files on disk", "shards on disk", "files on S3", "shards on S3")
FILES, SHARDS, FILES_ON_S3, SHARDS_ON_S3 = SOURCES
STEPS = {
    f"read, {FILES}": "reading a file on disk, from the operating system's cache",
    f"read, {SHARDS}": "reading it from a tar shard on disk",
    f"read, {FILES_ON_S3}": "reading a file from the S3 server, 32 at a time",
    f"read, {SHARDS_ON_S3}": "reading it from a tar shard on the S3 server",
    "decode": "decoding and shrinking",
    "predict": "the network, calibration and the novelty score",
    "write": "writing its row",
}
IMAGE_COUNTS = {"a million images": 10**6, "a billion images": 10**9}
CORE_COUNTS = (16, 256, 4096)
IMAGES_PER_SHARD = 10_000
SPEED_UP = 100


def table(results: dict[str, Any]) -> str:
    """The measurements, and the estimates from the rate of two nodes with shards on disk."""
    images, repeats = results["runs"][0]["images"], len(results["steps"])
    runs = "one run" if repeats == 1 else f"medians of {repeats} runs"
    setup = (
        f"**Measured**, {runs} of {images:,} photographs of {_median_of(results, 'image_bytes') / 1e3:.0f} kB, "
        f"{results['model']} in {results['steps'][0]['precision']}, {results['machine']}. Images/s of the later half "
        "of each run; the S3 server (moto, in Python) shares the two cores."
    )
    rate = _median(results, TWO_NODES, SHARDS, "rate") / 2
    start = _median(results, TWO_NODES, SHARDS, "start")
    computed = (
        f"**Computed** from these, not measured: {rate:.0f} images/s per core (two nodes, shards on disk), {start:.0f} "
        f"s until the first part, {_median_of(results, 'row_bytes'):.0f} bytes per row, and twice the speed on "
        "twice the cores."
    )
    return "\n\n".join(
        [setup, _rates(results), _steps(results), computed, _sizes(results, rate, start), _bounds(results, rate)]
    )


def _rates(results: dict[str, Any]) -> str:
    one_node = {source: _median(results, ONE_NODE, source, "rate") for source in SOURCES}
    rows = []
    for engine in ENGINES:
        rates = {source: _median(results, engine, source, "rate") for source in SOURCES}
        cells = [f"{rate:.0f} ({rate / one_node[source]:.2f}×)" for source, rate in rates.items()]
        start = statistics.median(_median(results, engine, source, "start") for source in SOURCES)
        rows.append([engine, *cells, f"{start:.0f} s"])
    return pages.table(["images/s (of one Ray node)", *SOURCES, "until the first part"], rows)


def _steps(results: dict[str, Any]) -> str:
    rows = [[title, f"{1e3 * _seconds(results, step):.3g} ms"] for step, title in STEPS.items()]
    return pages.table(["an image, one thread", "time"], rows)


def _sizes(results: dict[str, Any], rate: float, start: float) -> str:
    rows = []
    for title, images in IMAGE_COUNTS.items():
        times = [_time((start + images / (rate * cores)) / 3600) for cores in CORE_COUNTS]
        hours = f"{images / rate / 3600:,.0f}"
        sizes = (_bytes(images * _median_of(results, key)) for key in ("image_bytes", "row_bytes"))
        rows.append([title, hours, *times, *sizes])
    return pages.table(["", "core hours", *(f"{cores:,} cores" for cores in CORE_COUNTS), "images", "rows"], rows)


def _bounds(results: dict[str, Any], rate: float) -> str:
    cores, image = CORE_COUNTS[-1], _median_of(results, "image_bytes")
    reading, decoding, network = (_seconds(results, step) for step in (f"read, {SHARDS}", "decode", "predict"))
    files, shards = 10**9, 10**9 // IMAGES_PER_SHARD
    lines = [
        f"- *The storage*: {cores:,} cores read {_bytes(cores * rate * image)}/s.",
        f"- *Decoding* becomes the bottleneck where the network is more than {network / (reading + decoding):.1f} "
        f"times as fast as here. A device on which it is {SPEED_UP} times as fast needs {SPEED_UP / network:,.0f} "
        f"images/s: {SPEED_UP / network * (reading + decoding):.0f} cores that read and decode.",
        f"- *Listing*: the process that starts the job lists {1 / _seconds(results, f'list, {FILES}'):,.0f} files/s on "
        f"disk. A billion files take {_time(files * _seconds(results, f'list, {FILES}') / 3600)} and "
        f"{_bytes(files * _median_of(results, 'listed_bytes'))} of its memory; as {shards:,} shards of "
        f"{IMAGES_PER_SHARD:,}, {_bytes(shards * _median_of(results, 'listed_bytes'))}.",
    ]
    return "\n".join(lines)


def _median(results: dict[str, Any], engine: str, source: str, key: str) -> float:
    runs = [run[key] for run in results["runs"] if (run["engine"], run["source"]) == (engine, source)]
    return statistics.median(runs)


def _seconds(results: dict[str, Any], step: str) -> float:
    return statistics.median(run["seconds"][step] for run in results["steps"])


def _median_of(results: dict[str, Any], key: str) -> float:
    return statistics.median(run[key] for run in results["steps"])


def _time(hours: float) -> str:
    if hours < 1:
        return f"{60 * hours:.0f} min" if hours >= 1 / 60 else f"{3600 * hours:.0f} s"
    return f"{hours:.1f} h" if hours < 48 else f"{hours / 24:.0f} days"


def _bytes(count: float) -> str:
    power = min(4, int(math.log10(max(count, 1))) // 3)
    return f"{count / 1000**power:.3g} {('B', 'kB', 'MB', 'GB', 'TB')[power]}"
