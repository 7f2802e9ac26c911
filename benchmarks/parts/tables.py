"""The tables of benchmarks/results.md, and a short one for the README."""

import statistics
from collections.abc import Callable
from typing import Any

from benchmarks.parts import pages, peer_tables

Measurements = dict[str, Any]
Runs = list[dict[str, Any]]
FORMATS = {"float32": "float32", "mixed_bfloat16": "bfloat16", "mixed_float16": "float16"}


def results(measurements: Measurements) -> str:
    """benchmarks/results.md."""
    parts = [
        "# Measured by `make bench`",
        "Seconds of jobs are the median of their runs with the lowest and highest. Each run is a separate process; the "
        "report's and the pipeline's runs alternate. The ratio is the median of the ratios run by run; only ratios are "
        "comparable between machines. Imports are included only in the times of commands. Backbone weights are "
        "random except for an extractor from a file, which does not change the time.",
    ]
    last_origin = None
    for section, format_section in SECTIONS.items():
        if section in measurements:
            if (origin := _origin(measurements["origins"][section])) != last_origin:
                parts.append(origin)
            last_origin = origin
            parts.append(format_section(measurements[section]))
    return "\n\n".join(parts) + "\n"


def readme(measurements: Measurements) -> str:
    """The README's table: one row per job, then the comparison with other frameworks if it was measured."""
    peers = "peers" in measurements
    rows = []
    for name, job in measurements["jobs"].items():
        report, float32_runs, best_runs = (job["runs"][key] for key in ("report", "float32", "best"))
        cells = [f"{_median(runs):.0f} s, **{ratio(report, runs):.1f}×**" for runs in (float32_runs, best_runs)]
        rows.append([name, f"{_median(report):.0f} s", *([""] if peers else []), *cells])
    best_name = FORMATS[next(iter(measurements["jobs"].values()))["runs"]["best"][0]["precision"]]
    best_peer = ["the best other framework"] if peers else []
    heads = ["", "the report's procedure", *best_peer, "the pipeline, float32", f"the pipeline, {best_name}"]
    return pages.table(heads, rows + (peer_tables.readme_rows(measurements["peers"]) if peers else []))


def _origin(origin: dict[str, Any]) -> str:
    """The images, repeats and machine of the following sections."""
    images, runs = f"{origin['images']:,} images ({origin['dataset']})", f"{origin['repeats']} runs"
    return f"*The following sections: {images}, {runs}, {origin['machine']}*"


def ratio(slower: Runs, faster: Runs) -> float:
    """How many times as fast `faster` is, run by run."""
    return peer_tables.median_ratio([run["seconds"] for run in slower], [run["seconds"] for run in faster])


def _median(runs: Runs) -> float:
    return statistics.median(run["seconds"] for run in runs)


def _jobs(jobs: dict[str, Any]) -> str:
    return "\n\n".join(_job_table(name, job) for name, job in jobs.items())


def _job_table(name: str, job: dict[str, Any]) -> str:
    rows = []
    for key, runs in job["runs"].items():
        seconds, median = [run["seconds"] for run in runs], _median(runs)
        procedure = "the report's procedure" if key == "report" else f"pipeline, {FORMATS[runs[0]['precision']]}"
        times = f"{median:.1f} ({min(seconds):.1f} to {max(seconds):.1f})"
        speed_up = "1" if key == "report" else f"{ratio(job['runs']['report'], runs):.2f}"
        peak = max(run["peak_mb"] for run in runs) / 1000
        rows.append([procedure, times, speed_up, f"{job['image_passes'] / median:.1f}", f"{peak:.1f}"])
    lines = [f"## {name}", job["what"], pages.table(["", "seconds", "ratio", "image passes/s", "peak GB"], rows)]
    float32_run = job["runs"]["float32"][0]
    for run in (float32_run, job["runs"]["best"][0]) if "same_class" in float32_run else ():
        lines.append(
            f"{FORMATS[run['precision']]}: head on cached vectors and whole float32 model predict the same class for "
            f"{run['same_class']} of {run['tested']} test images; largest difference of a probability "
            f"{run['probability_difference']:.1e}."
        )
    return "\n\n".join(lines)


def _embedding(runs: Runs) -> str:
    rows = []
    for run in runs:
        rate = {key: run["images"] / run[f"{key}_seconds"] for key in ("keras", "tensorflow", "bare", "pipeline")}
        ratios = f"{rate['pipeline'] / rate['bare']:.0%}", f"{rate['pipeline'] / rate['keras']:.2f}"
        cells = [f"{run['name']}, {run['size']} px", FORMATS[run["precision"]]]
        rows.append([*cells, *(f"{value:.1f}" for value in rate.values()), *ratios])
    rates = ["Keras, float32", "TensorFlow, fused", "OpenVINO alone", "the pipeline, from files"]
    heads = ["backbone", "format", *rates, "relative to OpenVINO alone", "to Keras"]
    return "## Embedding, images/s\n\n" + pages.table(heads, rows)


def _waiting(runs: Runs) -> str:
    keys = ("predict_first_seconds", "predict_seconds", "serve_seconds", "evaluate_seconds")
    rows = [
        [f"{run['name']}, {run['size']} px, {FORMATS[run['precision']]}", *(f"{run[key]:.1f} s" for key in keys)]
        for run in runs
    ]
    commands = ["predict, the first time", "predict, one photograph", "serve, until it answers"]
    heads = ["", *commands, f"evaluate, {runs[0]['images']:,}"]
    return (
        "## Waiting for `realwaste`\n\nWhole processes. When this was measured, the first prediction of a model "
        "converted its network; now the model file contains it.\n\n" + pages.table(heads, rows)
    )


SECTIONS: dict[str, Callable[[Any], str]] = {
    "jobs": _jobs,
    "embedding": _embedding,
    "waiting": _waiting,
    "peers": peer_tables.section,
}
