"""What benchmarks.scale measured as tables, and what it makes of millions of images: computed, and called so."""

import math
import statistics
from dataclasses import dataclass
from typing import Any

from benchmarks.parts import pages

LOCAL, ONE, TWO = "local, one core", "Ray, one node of one core", "Ray, two nodes of one core"
STEPS = {
    "read": "reading the file, from this machine's cache",
    "hash": "MD5 of it, which DVC does once a file",
    "decode": "decoding and shrinking",
    "backbone": "the backbone",
    "write": "writing the vector",
}
SIZES = {"a million images": 10**6, "a billion images": 10**9}
CORES = (16, 256, 4096)
ACCELERATED = 100


@dataclass(frozen=True)
class Costs:
    """Medians of the runs.

    Attributes:
        rate: images/s of one core on Ray, where two work.
        start: seconds before a Ray job gives its first vectors.
        seconds: of each step, an image.
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
        """Cores whose vectors one process, the one that started the job, can write."""
        return 1 / (self.seconds["write"] * self.rate)

    def decoding_rate(self) -> float:
        """Images/s that a core reads and decodes, doing nothing else."""
        return 1 / (self.seconds["read"] + self.seconds["decode"])


def costs(found: dict[str, Any]) -> Costs:
    return Costs(
        _median(found, TWO, "rate") / 2,
        _median(found, TWO, "start"),
        {step: statistics.median(run["seconds"][step] for run in found["apart"]) for step in STEPS},
        statistics.median(run["bytes_an_image"] for run in found["apart"]),
        statistics.median(run["bytes_a_vector"] for run in found["apart"]),
    )


def table(found: dict[str, Any]) -> str:
    model, images = costs(found), found["runs"][0]["images"]
    repeats = len(found["apart"])
    said = "one run" if repeats == 1 else f"medians of {repeats} runs in turn"
    parts = [
        f"**Measured**, {said}, of its later half: {images} images, photographs of "
        f"{model.image / 1e3:.0f} kB, {found['backbone']} at {found['size']} px in float32, vectors of "
        f"{found['apart'][0]['width']} numbers, a machine of {found['cores']} cores.",
        _rates(found),
        _steps(model),
        f"**Computed** from these, not measured: {model.rate:.1f} images/s a core, {model.start:.0f} s until the first "
        f"vectors, {model.vector / 1e3:.1f} kB a vector and its path, and as many times the speed as cores.",
        _sizes(model),
        _bounds(model),
    ]
    return "\n\n".join(parts)


def _median(found: dict[str, Any], side: str, key: str) -> float:
    return statistics.median(run[key] for run in found["runs"] if run["side"] == side)


def _rates(found: dict[str, Any]) -> str:
    sides = list(dict.fromkeys(run["side"] for run in found["runs"]))
    one = _median(found, ONE, "rate")
    rows = [
        [
            side,
            f"{_median(found, side, 'rate'):.1f}",
            f"{_median(found, side, 'rate') / one:.2f}×",
            f"{_median(found, side, 'start'):.0f} s",
            f"{_median(found, side, 'seconds'):.0f} s",
        ]
        for side in sides
    ]
    return pages.table(["engine", "images/s", "of one Ray node", "start-up", "the whole"], rows)


def _steps(model: Costs) -> str:
    whole = sum(model.seconds.values())
    rows = [
        [title, f"{1e3 * model.seconds[step]:.3g} ms", f"{model.seconds[step] / whole:.1%}"]
        for step, title in STEPS.items()
    ]
    return pages.table(["an image, one thread", "time", "share"], rows)


def _sizes(model: Costs) -> str:
    rows = []
    for title, images in SIZES.items():
        hours = [_time(model.hours(images, cores)) for cores in CORES]
        rows.append([title, *hours, _bytes(images * model.image), _bytes(images * model.vector)])
    return pages.table(["", *(f"{cores:,} cores" for cores in CORES), "pictures", "vectors"], rows)


def _bounds(model: Costs) -> str:
    most = CORES[-1]
    faster = model.seconds["backbone"] / (model.seconds["read"] + model.seconds["decode"])
    accelerated = ACCELERATED / model.seconds["backbone"]
    lines = [
        f"- *Reading*: {most:,} cores take {_bytes(most * model.rate * model.image)}/s of pictures.",
        f"- *Decoding* takes over where the backbone is more than {faster:.1f} times as fast as here. A device that "
        f"runs it {ACCELERATED} times as fast asks for {accelerated:.0f} images/s, which is reading and decoding on "
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
