"""`python -m benchmarks.whole`: every stage once, at the size of RealWaste and the report's settings.

Drawn pictures of RealWaste's number and random weights: it measures seconds and memory, and nothing about waste. What
is finished is kept in the user's cache, under the commit, so a killed run goes on where it stopped.
"""

import argparse
import subprocess
from pathlib import Path
from typing import Any

from benchmarks.parts import growth, pages
from benchmarks.parts.child import ROOT
from benchmarks.parts.workspace import copy_checkout, set_params
from realwaste.core import log
from realwaste.core.files import cache_folder, read_json, write_json

RESULTS, PAGE, COMMAND = ROOT / "benchmarks/whole.json", ROOT / "docs/scale.md", "python -m benchmarks.whole"
PER_CLASS = 528  # of nine classes: the 4,752 pictures of RealWaste


def main() -> None:
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__)
    parser.add_argument("--per-class", type=int, default=PER_CLASS, help="drawn pictures of each of the nine classes")
    parser.add_argument("--beside", default="nothing else", help="what else the processor had to do, for the page")
    arguments = parser.parse_args()
    log.setup()
    root = _workspace(arguments.per_class)
    kept = root / "benchmark.json"
    found = read_json(kept) if kept.is_file() else {"stages": {}}
    found |= {"images": 9 * arguments.per_class, "beside": arguments.beside, "machine": pages.this_machine()}
    for name in growth.STAGES:
        if name not in found["stages"]:
            found["stages"][name] = growth.stage(root, name)
            write_json(kept, found)
            log.logger.info("%s: %s", name, found["stages"][name])
    write_json(RESULTS, found)
    pages.rewrite(PAGE, COMMAND, table(found))


def _workspace(per_class: int) -> Path:
    """A copy of the checkout in the user's cache, made once a commit and size."""
    command = ["git", "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()  # noqa: S603
    root = cache_folder() / f"benchmark-whole-{commit}-{per_class}"
    if not (root / "params.yaml").is_file():
        copy_checkout(root)
        set_params(root, fetch__source="synthetic", fetch__synthetic_images_per_class=per_class)
    return root


def table(found: dict[str, Any]) -> str:
    """Seconds and memory of each stage, those without work left out, and the whole."""
    stages = {name: run for name, run in found["stages"].items() if run["seconds"] >= 1}
    rows = [[name, f"{run['seconds']:.0f}", f"{run['peak_mb'] / 1000:.1f}"] for name, run in stages.items()]
    minutes = sum(run["seconds"] for run in found["stages"].values()) / 60
    peak = max(run["peak_mb"] for run in found["stages"].values()) / 1000
    rows.append(["**the whole**", f"**{minutes:.0f} min**", f"**{peak:.1f}**"])
    said = f"{found['images']:,} drawn pictures, {found['machine']}; beside it {found['beside']}."
    return f"{said}\n\n" + pages.table(["stage", "seconds", "peak memory, GB"], rows)


if __name__ == "__main__":
    main()
