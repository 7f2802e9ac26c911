"""The measurements as tables: benchmarks/results.md whole, and a short one for the README."""

import statistics
from collections.abc import Callable
from typing import Any

from benchmarks.parts import pages, peer_tables, step_tables

Results = dict[str, Any]
Runs = list[dict[str, Any]]
FORMATS = {"float32": "float32", "mixed_bfloat16": "bfloat16", "mixed_float16": "float16"}


def results(found: Results) -> str:
    """Everything that was measured, as Markdown."""
    parts = [
        "# Measured by `make bench`",
        "The jobs' seconds are the median of their runs with the lowest and highest, every run a process of its own, "
        "the report's and the pipeline's in turn; the ratio is the median of the ratios run by run, and the only thing "
        "to carry to another machine. Imports are in no figure but those of the last tables. Backbone weights are "
        "random, but for an extractor in a file: they take as long as real ones.",
    ]
    said = None
    for section, make in SECTIONS.items():
        if section in found:
            if (origin := _origin(found["origins"][section])) != said:
                parts.append(origin)
            said = origin
            parts.append(make(found[section]))
    return "\n\n".join(parts) + "\n"


def readme(found: Results) -> str:
    """The short table: one row a job, the pipeline in the precision it takes by itself, then peers' if measured."""
    peers = "peers" in found
    rows = []
    for name, job in found["jobs"].items():
        same, best = job["runs"]["float32"], job["runs"]["best"]
        rows.append(
            [
                name,
                f"{_median(job['runs']['report']):.0f} s",
                *([""] if peers else []),
                f"{_median(same):.0f} s, **{ratio(job['runs']['report'], same):.1f}×**",
                f"{_median(best):.0f} s, **{ratio(job['runs']['report'], best):.1f}×**",
            ]
        )
    best_name = FORMATS[next(iter(found["jobs"].values()))["runs"]["best"][0]["precision"]]
    heads = ["", "the report's procedure", *(["the best peer"] if peers else []), "here, float32", f"here, {best_name}"]
    return pages.table(heads, rows + (peer_tables.readme_rows(found["peers"]) if peers else []))


def _origin(origin: dict[str, Any]) -> str:
    """The images, repeats and machine of the sections that follow."""
    return (
        f"*{origin['images']:,} images ({origin['dataset']}), {origin['repeats']} runs, {origin['machine']}; the "
        "sections that follow:*"
    )


def _jobs(jobs: dict[str, Any]) -> str:
    return "\n\n".join(_job(name, job) for name, job in jobs.items())


def ratio(slower: Runs, faster: Runs) -> float:
    """The median of the ratios run by run: what drifts between runs drifts in both."""
    return statistics.median(a["seconds"] / b["seconds"] for a, b in zip(slower, faster, strict=True))


def _median(runs: Runs) -> float:
    return statistics.median(run["seconds"] for run in runs)


def _job(name: str, job: dict[str, Any]) -> str:
    rows = []
    for key, runs in job["runs"].items():
        seconds = [run["seconds"] for run in runs]
        own = "the report's procedure" if key == "report" else f"pipeline, {FORMATS[runs[0]['precision']]}"
        rows.append(
            [
                own,
                f"{statistics.median(seconds):.1f} ({min(seconds):.1f} to {max(seconds):.1f})",
                "1" if key == "report" else f"{ratio(job['runs']['report'], runs):.2f}",
                f"{job['image_passes'] / statistics.median(seconds):.1f}",
                f"{max(run['peak_mb'] for run in runs) / 1000:.1f}",
            ]
        )
    lines = [f"## {name}", job["what"], pages.table(["", "seconds", "ratio", "image passes/s", "peak GB"], rows)]
    checked = job["runs"]["float32"][0]
    for run in (checked, job["runs"]["best"][0]) if "same_class" in checked else ():
        lines.append(
            f"{FORMATS[run['precision']]}: head on cached vectors and whole float32 model, {run['same_class']} of "
            f"{run['tested']} test images in the same class, largest difference of a probability "
            f"{run['probability_difference']:.1e}."
        )
    return "\n\n".join(lines)


def _embedding(runs: Runs) -> str:
    rows = []
    for run in runs:
        rate = {key: run["images"] / run[f"{key}_seconds"] for key in ("keras", "tensorflow", "bare", "pipeline")}
        rows.append(
            [
                f"{run['name']}, {run['size']} px",
                FORMATS[run["precision"]],
                *(f"{rate[key]:.1f}" for key in rate),
                f"{rate['pipeline'] / rate['bare']:.0%}",
                f"{rate['pipeline'] / rate['keras']:.2f}",
            ]
        )
    head = [
        "backbone",
        "format",
        "Keras, float32",
        "TensorFlow, our twin",
        "OpenVINO, bare loop",
        "the pipeline, from files",
    ]
    return "## Embedding, images/s\n\n" + pages.table([*head, "of the bare loop", "of Keras"], rows)


def _epoch_ends(run: dict[str, Any]) -> str:
    names = {"autotuned": "autotuned", "not_autotuned": "autotuning off", "pipeline": "the pipeline's dataset"}
    usual = statistics.median(run["seconds"]["not_autotuned"])
    rows = [
        [
            names[key],
            f"{statistics.median(seconds):.2f} ({min(seconds):.2f} to {max(seconds):.2f})",
            f"{sum(value > 1.25 * usual for value in seconds)} of {len(seconds)}",
        ]
        for key, seconds in run["seconds"].items()
    ]
    return (
        f"## The end of an epoch\n\n{run['images']} JPEGs of 64 px, two convolutions. With tf.data's autotuning some "
        "epochs end only with its timer, at 10 ms × (2^n - 1): 0.63, 1.27, 2.55 s …\n\n"
        + pages.table(["dataset", "seconds an epoch", "a quarter longer than autotuning off"], rows)
    )


def _validation(run: dict[str, Any]) -> str:
    rates = {key: run["images"] / run[f"{key}_seconds"] for key in ("bare", "pipeline")}
    return (
        f"## validate_images\n\n{rates['pipeline']:.0f} images/s, hashes included; bare decoding on all cores "
        f"{rates['bare']:.0f} images/s: {rates['pipeline'] / rates['bare']:.0%}."
    )


def _precision(runs: dict[str, dict[str, Any]]) -> str:
    rows = []
    for name, run in runs.items():
        means = [statistics.mean(run[f"{key}_accuracies"]) for key in ("float32", "best")]
        rows.append(
            [
                name,
                ", ".join(f"{value:.3f}" for value in run["float32_accuracies"]),
                ", ".join(f"{value:.3f}" for value in run["best_accuracies"]),
                f"{means[1] - means[0]:+.4f}",
                f"{run['only_float32_right']} / {run['only_best_right']} of {run['answers']}",
            ]
        )
    best = FORMATS[next(iter(runs.values()))["precision"]]
    head = ["", "float32, a seed", f"{best}, a seed", "mean difference", f"right only in float32 / only in {best}"]
    parts = [f"## Test accuracy in float32 and in {best}", pages.table(head, rows)]
    for name, run in runs.items():
        if "whole" in run:
            rows = [
                [
                    FORMATS["float32" if key == "float32" else run["precision"]],
                    f"{found['same_class']} of {run['answers']}",
                    f"{found['probability_difference']:.1e}",
                ]
                for key, found in run["whole"].items()
            ]
            parts.append(
                f"The answers of the {name} from cached vectors, against those of the whole saved model, which "
                "is Keras' own layers in float32:"
            )
            parts.append(pages.table(["cached in", "same class", "largest difference of a probability"], rows))
    return "\n\n".join(parts)


def _growth(runs: Runs) -> str:
    stages = list(runs[0]["shown"])
    rows = [[stage, *(_seconds_and_memory(run["stages"][stage]) for run in runs)] for stage in stages]
    return "## Growth\n\nWhole processes, start-up included; drawn pictures of 64 px, MobileNetV2.\n\n" + pages.table(
        ["stage", *(f"{run['images']:,} images" for run in runs)], rows
    )


def _seconds_and_memory(run: dict[str, Any]) -> str:
    return f"{run['seconds']:.1f} s, {run['peak_mb'] / 1000:.2f} GB"


def _start(run: dict[str, Any]) -> str:
    rows = [["`dvc repro` with nothing to do", f"{run['nothing_to_do']:.1f} s"]]
    rows += [[f"{name}, until it begins its work", f"{seconds:.1f} s"] for name, seconds in run["stages"].items()]
    head = run["head"]
    rows.append([f"a head of 10 epochs on {head['vectors']:,} vectors, whole process", f"{head['seconds']:.1f} s"])
    return "## Start-up\n\n" + pages.table(["", "seconds"], rows)


def _waiting(runs: Runs) -> str:
    keys = ("predict_first_seconds", "predict_seconds", "serve_seconds", "evaluate_seconds")
    rows = [
        [f"{run['name']}, {run['size']} px, {FORMATS[run['precision']]}", *(f"{run[key]:.1f} s" for key in keys)]
        for run in runs
    ]
    images = runs[0]["images"]
    head = [
        "",
        "predict, the first time",
        "predict, one photograph",
        "serve, until it answers",
        f"evaluate, {images:,}",
    ]
    return (
        "## `realwaste`, from the return key to the answer\n\nThe first time a model is asked, its network is "
        "converted and kept.\n\n" + pages.table(head, rows)
    )


SECTIONS: dict[str, Callable[[Any], str]] = {
    "jobs": _jobs,
    "embedding": _embedding,
    "epoch_ends": _epoch_ends,
    "validation": _validation,
    "precision": _precision,
    "growth": _growth,
    "start": _start,
    "waiting": _waiting,
    "step": step_tables.section,
    "peers": peer_tables.section,
}
