"""`python -m benchmarks.whole`: every stage once, at the size of RealWaste and the report's settings.

It uses as many generated pictures as RealWaste has images, and random weights: it measures seconds and memory, not
accuracy. Results of finished stages are in the user's cache, by commit, so that a killed run resumes.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.parts import pages
from benchmarks.parts.child import ROOT
from benchmarks.parts.workspace import copy_checkout, set_params
from realwaste.core import log
from realwaste.core.files import cache_folder, read_json, write_json
from stages.launcher import params_file

RESULTS, PAGE, COMMAND = ROOT / "benchmarks/whole.json", ROOT / "docs/scale.md", "python -m benchmarks.whole"
BIN = Path(sys.executable).parent
STAGES = params_file.read_stages(ROOT / "dvc.yaml")
PER_CLASS = 528  # of nine classes: the 4,752 pictures of RealWaste


def main() -> None:
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__)
    parser.add_argument("--per-class", type=int, default=PER_CLASS, help="generated pictures per class (nine classes)")
    parser.add_argument("--beside", default="nothing else", help="what else the processor did meanwhile, for the page")
    arguments = parser.parse_args()
    log.setup()
    root = _workspace(arguments.per_class)
    progress_file = root / "benchmark.json"
    results = read_json(progress_file) if progress_file.is_file() else {"stages": {}}
    results |= {"images": 9 * arguments.per_class, "beside": arguments.beside, "machine": pages.this_machine()}
    for name in STAGES:
        if name not in results["stages"]:
            results["stages"][name] = run_stage(root, name)
            write_json(progress_file, results)
            log.logger.info("%s: %s", name, results["stages"][name])
    write_json(RESULTS, results)
    pages.rewrite(PAGE, COMMAND, table(results))


def _workspace(per_class: int) -> Path:
    """A copy of the checkout in the user's cache, created once per commit and size."""
    command = ["git", "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()  # noqa: S603
    root = cache_folder() / f"benchmark-whole-{commit}-{per_class}"
    if not (root / "params.yaml").is_file():
        copy_checkout(root)
        set_params(
            root,
            fetch__source="synthetic",
            fetch__synthetic_images_per_class=per_class,
            # Not auto, which computes at a small image size without a network.
            finetune_irv2__weights="random",
            finetune_densenet__weights="random",
        )
    return root


def run_stage(root: Path, name: str) -> dict[str, Any]:
    """Seconds and peak memory (MB) of a stage as a process, in the checkout at `root`."""
    command = [sys.executable, *STAGES[name]["cmd"].split()[1:]]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    environment["PATH"] = f"{BIN}{os.pathsep}{os.environ['PATH']}"
    environment["REALWASTE_CACHE"] = f"{tempfile.gettempdir()}/realwaste-benchmark"
    with tempfile.TemporaryFile() as output:
        started = time.perf_counter()
        process = subprocess.Popen(command, cwd=root, env=environment, stdout=output, stderr=output)  # noqa: S603
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            output.seek(0)
            raise RuntimeError(f"{command} failed:\n{output.read()[-3000:].decode(errors='replace')}")
    return {"seconds": round(seconds, 2), "peak_mb": round(usage.ru_maxrss / 1000)}


def table(results: dict[str, Any]) -> str:
    """Seconds and memory of each stage that takes at least a second, and the total."""
    stages = {name: run for name, run in results["stages"].items() if run["seconds"] >= 1}
    rows = [[name, f"{run['seconds']:.0f}", f"{run['peak_mb'] / 1000:.1f}"] for name, run in stages.items()]
    minutes = sum(run["seconds"] for run in results["stages"].values()) / 60
    peak = max(run["peak_mb"] for run in results["stages"].values()) / 1000
    rows.append(["**total**", f"**{minutes:.0f} min**", f"**{peak:.1f}**"])
    setup = f"{results['images']:,} generated pictures, {results['machine']}; other load: {results['beside']}."
    return f"{setup}\n\n" + pages.table(["stage", "seconds", "peak memory, GB"], rows)


if __name__ == "__main__":
    main()
