"""What the peers took beside the pipeline, as tables: one a job, and rows for the README."""

import statistics
from typing import Any

from benchmarks.parts import pages

Job = dict[str, Any]
REPORT, FLOAT32, BFLOAT16 = "Keras, float32", "here, float32", "here, bfloat16"
OURS = (REPORT, FLOAT32, BFLOAT16)


def section(found: dict[str, Any]) -> str:
    """Every way of every job, whether it ran or not."""
    pinned = ", ".join(line.replace("==", " ") for line in found["requirements"] if "==" in line)
    rounds = len(found["jobs"][0]["ways"][FLOAT32]["seconds"])
    text = (
        "## Peers\n\n`python -m benchmarks --only --peers`. Random pictures in memory, 8 a batch for the frozen "
        "backbones and 32 for the CNN; random weights; every library with all cores. The processes are open side by "
        f"side and run a batch in turn: the median of {rounds} rounds with the lowest and highest, and the median of "
        f"the ratios to ours, round by round. Versions: {pinned}."
    )
    return "\n\n".join([text, *(_job(job) for job in found["jobs"])])


def readme_rows(found: dict[str, Any]) -> list[list[str]]:
    """A job each: the report's Keras, the best of the peers that ran, here in float32 and in bfloat16."""
    rows = []
    for job in found["jobs"]:
        ways = {name: way["seconds"] for name, way in job["ways"].items() if "seconds" in way}
        peers = {name: seconds for name, seconds in ways.items() if name not in OURS}
        best = min(peers, key=lambda name: statistics.median(peers[name]), default=None)
        rows.append(
            [
                f"{job['name']}, {job['unit']}",
                f"{_figure(job, ways[REPORT]):.1f}",
                "not run" if best is None else f"{_versus_report(job, ways, best)} ({best})",
                *(_versus_report(job, ways, name, bold="**") for name in (FLOAT32, BFLOAT16)),
            ]
        )
    return rows


def _versus_report(job: Job, ways: dict[str, list[float]], name: str, bold: str = "") -> str:
    return f"{_figure(job, ways[name]):.1f}, {bold}{_ratio(ways[REPORT], ways[name]):.1f}×{bold}"


def _job(job: Job) -> str:
    ours = [job["ways"][name]["seconds"] for name in (FLOAT32, BFLOAT16)]
    rows = []
    for name, way in job["ways"].items():
        if "seconds" in way:
            low, high = sorted(_figure(job, [value]) for value in (min(way["seconds"]), max(way["seconds"])))
            ratios = [f"{_ratio(way['seconds'], own):.2f}" for own in ours]
            rows.append([name, f"{_figure(job, way['seconds']):.1f} ({low:.1f} to {high:.1f})", *ratios])
        else:
            rows.append([name, f"not run: {way['not_run'].replace('|', '/')}", "", ""])
    heads = ["", job["unit"], "here in float32 is faster by", "in bfloat16 by"]
    return f"### {job['name']}\n\n{pages.table(heads, rows)}"


def _figure(job: Job, seconds: list[float]) -> float:
    an_image = statistics.median(seconds) / job["images"]
    return 1 / an_image if job["unit"] == "images/s" else 1000 * an_image


def _ratio(slower: list[float], faster: list[float]) -> float:
    return statistics.median(a / b for a, b in zip(slower, faster, strict=True))
