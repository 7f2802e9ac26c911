"""Tables of the comparison with other frameworks: one per job, and rows for the README."""

import statistics
from typing import Any

from benchmarks.parts import pages

Job = dict[str, Any]
REPORT, FLOAT32, BFLOAT16 = "Keras, float32", "here, float32", "here, bfloat16"
OURS = (REPORT, FLOAT32, BFLOAT16)


def section(results: dict[str, Any]) -> str:
    """All variants of all jobs, including those that did not run."""
    versions = ", ".join(line.replace("==", " ") for line in results["requirements"] if "==" in line)
    rounds = len(results["jobs"][0]["ways"][FLOAT32]["seconds"])
    text = (
        "## Other frameworks\n\n`python -m benchmarks --only --peers`. Random pictures in memory, in batches of 8 for "
        "frozen backbones and 32 for the CNN; random weights; every library uses all cores. The processes run a batch "
        f"each in turn. Median of {rounds} rounds with the lowest and highest, and median of the ratios to the "
        f"pipeline, round by round. Versions: {versions}."
    )
    return "\n\n".join([text, *(_job_table(job) for job in results["jobs"])])


def readme_rows(results: dict[str, Any]) -> list[list[str]]:
    """One row per job: the report's Keras, the best other framework, the pipeline in float32 and in bfloat16."""
    rows = []
    for job in results["jobs"]:
        seconds_by_variant = {name: variant["seconds"] for name, variant in job["ways"].items() if "seconds" in variant}
        peers = {name: seconds for name, seconds in seconds_by_variant.items() if name not in OURS}
        best = min(peers, key=lambda name: statistics.median(peers[name]), default=None)
        report = f"{_figure(job, seconds_by_variant[REPORT]):.1f}"
        peer = "not run" if best is None else f"{_versus_report(job, seconds_by_variant, best)} ({best})"
        pipeline = (_versus_report(job, seconds_by_variant, name, bold="**") for name in (FLOAT32, BFLOAT16))
        rows.append([f"{job['name']}, {job['unit']}", report, peer, *pipeline])
    return rows


def _versus_report(job: Job, seconds_by_variant: dict[str, list[float]], name: str, bold: str = "") -> str:
    ratio = median_ratio(seconds_by_variant[REPORT], seconds_by_variant[name])
    return f"{_figure(job, seconds_by_variant[name]):.1f}, {bold}{ratio:.1f}×{bold}"


def _job_table(job: Job) -> str:
    rows = []
    for name, variant in job["ways"].items():
        if seconds := variant.get("seconds"):
            low, high = sorted(_figure(job, [value]) for value in (min(seconds), max(seconds)))
            pipelines = (job["ways"][variant_name]["seconds"] for variant_name in (FLOAT32, BFLOAT16))
            ratios = (f"{median_ratio(seconds, pipeline_seconds):.2f}" for pipeline_seconds in pipelines)
            rows.append([name, f"{_figure(job, seconds):.1f} ({low:.1f} to {high:.1f})", *ratios])
        else:
            rows.append([name, f"not run: {variant['not_run'].replace('|', '/')}", "", ""])
    heads = ["", job["unit"], "pipeline in float32 is faster by", "in bfloat16 by"]
    return f"### {job['name']}\n\n{pages.table(heads, rows)}"


def _figure(job: Job, seconds: list[float]) -> float:
    seconds_per_image = statistics.median(seconds) / job["images"]
    return 1 / seconds_per_image if job["unit"] == "images/s" else 1000 * seconds_per_image


def median_ratio(slower: list[float], faster: list[float]) -> float:
    """The median of the ratios run by run: a drift of the machine affects both runs of a pair."""
    return statistics.median(a / b for a, b in zip(slower, faster, strict=True))
