"""Tables of the measurements of benchmarks.scale, and of estimates for millions of images, which are marked as such."""

import math
import statistics
from dataclasses import dataclass
from typing import Any

from benchmarks.parts import pages

LOCAL, ONE_NODE, TWO_NODES = "local, one core", "Ray, one node of one core", "Ray, two nodes of one core"
STEPS = {
    "read": "reading the file, from the operating system's cache",
    "hash": "its MD5 hash, which DVC computes once per file",
    "decode": "decoding and shrinking",
    "backbone": "the backbone",
    "write": "writing the vector",
}
IMAGE_COUNTS = {"a million images": 10**6, "a billion images": 10**9}
CORE_COUNTS = (16, 256, 4096)
SPEED_UP = 100


@dataclass(frozen=True)
class Costs:
    """Medians of the runs.

    Attributes:
        rate: images/s per core on Ray with two nodes.
        start: seconds until a Ray job has its first vectors.
        seconds: per image, by step.
        image, vector: bytes.
    """

    rate: float
    start: float
    seconds: dict[str, float]
    image: float
    vector: float

    def hours(self, images: int, cores: int) -> float:
        return (self.start + images / (self.rate * cores)) / 3600

    def writer_cores(self) -> float:
        """The number of cores whose vectors the driver process can write."""
        return 1 / (self.seconds["write"] * self.rate)

    def decoding_rate(self) -> float:
        """Images/s that one core reads and decodes."""
        return 1 / (self.seconds["read"] + self.seconds["decode"])


def costs(results: dict[str, Any]) -> Costs:
    return Costs(
        _median(results, TWO_NODES, "rate") / 2,
        _median(results, TWO_NODES, "start"),
        {step: statistics.median(run["seconds"][step] for run in results["apart"]) for step in STEPS},
        statistics.median(run["bytes_an_image"] for run in results["apart"]),
        statistics.median(run["bytes_a_vector"] for run in results["apart"]),
    )


def table(results: dict[str, Any]) -> str:
    model, images = costs(results), results["runs"][0]["images"]
    repeats = len(results["apart"])
    runs = "one run" if repeats == 1 else f"medians of {repeats} runs in turn"
    parts = [
        f"**Measured**, {runs}, of its later half: {images} images, photographs of "
        f"{model.image / 1e3:.0f} kB, {results['backbone']} at {results['size']} px in float32, vectors of "
        f"{results['apart'][0]['width']} numbers, a machine of {results['cores']} cores.",
        _rates(results),
        _steps(model),
        f"**Computed** from these, not measured: {model.rate:.1f} images/s a core, {model.start:.0f} s until the first "
        f"vectors, {model.vector / 1e3:.1f} kB a vector and its path, and as many times the speed as cores.",
        _sizes(model),
        _bounds(model),
    ]
    return "\n\n".join(parts)


def _median(results: dict[str, Any], engine: str, key: str) -> float:
    return statistics.median(run[key] for run in results["runs"] if run["side"] == engine)


def _rates(results: dict[str, Any]) -> str:
    engines = list(dict.fromkeys(run["side"] for run in results["runs"]))
    one_node_rate = _median(results, ONE_NODE, "rate")
    rows = [
        [
            engine,
            f"{_median(results, engine, 'rate'):.1f}",
            f"{_median(results, engine, 'rate') / one_node_rate:.2f}×",
            f"{_median(results, engine, 'start'):.0f} s",
            f"{_median(results, engine, 'seconds'):.0f} s",
        ]
        for engine in engines
    ]
    return pages.table(["engine", "images/s", "of one Ray node", "start-up", "the whole"], rows)


def _steps(model: Costs) -> str:
    total = sum(model.seconds.values())
    rows = [
        [title, f"{1e3 * model.seconds[step]:.3g} ms", f"{model.seconds[step] / total:.1%}"]
        for step, title in STEPS.items()
    ]
    return pages.table(["an image, one thread", "time", "share"], rows)


def _sizes(model: Costs) -> str:
    rows = []
    for title, images in IMAGE_COUNTS.items():
        hours = [_time(model.hours(images, cores)) for cores in CORE_COUNTS]
        rows.append([title, *hours, _bytes(images * model.image), _bytes(images * model.vector)])
    return pages.table(["", *(f"{cores:,} cores" for cores in CORE_COUNTS), "pictures", "vectors"], rows)


def _bounds(model: Costs) -> str:
    cores = CORE_COUNTS[-1]
    faster = model.seconds["backbone"] / (model.seconds["read"] + model.seconds["decode"])
    accelerated = SPEED_UP / model.seconds["backbone"]
    lines = [
        f"- *Reading*: {cores:,} cores take {_bytes(cores * model.rate * model.image)}/s of pictures.",
        f"- *Decoding* takes over where the backbone is more than {faster:.1f} times as fast as here. A device that "
        f"runs it {SPEED_UP} times as fast asks for {accelerated:.0f} images/s, which is reading and decoding on "
        f"{accelerated / model.decoding_rate():.0f} cores.",
        f"- *Writing*: the process that started the job writes {1 / model.seconds['write']:,.0f} vectors/s, those of "
        f"{model.writer_cores():,.0f} cores.",
        f"- *Hashing*, which DVC does with each file on one machine: {_time(1e9 * model.seconds['hash'] / 3600)} for a "
        "billion files on one core, and opening each of them comes on top.",
    ]
    return "\n".join(lines)


def _time(hours: float) -> str:
    if hours < 1:
        return f"{60 * hours:.0f} min"
    return f"{hours:.1f} h" if hours < 48 else f"{hours / 24:.0f} days"


def _bytes(count: float) -> str:
    power = min(4, int(math.log10(max(count, 1))) // 3)
    return f"{count / 1000**power:.3g} {('B', 'kB', 'MB', 'GB', 'TB')[power]}"
