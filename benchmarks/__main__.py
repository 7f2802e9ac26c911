"""`make bench`: run the measurements; write benchmarks/results.json, benchmarks/results.md and the README's table."""

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.parts import pages, tables
from benchmarks.parts.child import ROOT, measure
from benchmarks.parts.peers import jobs
from realwaste.core import log
from realwaste.core.files import write_csv, write_json, write_text
from realwaste.dataset import manifest, split
from realwaste.sources import image_source
from realwaste.sources.stand_ins import StandIns

RESULTS = ROOT / "benchmarks/results.json"
RATES = [0.0001, 0.001, 0.01, 0.1]


def main() -> None:
    arguments = _arguments()
    log.setup()
    with tempfile.TemporaryDirectory(prefix="realwaste-bench-") as folder:
        workdir = Path(folder)
        origin = _images(workdir, arguments) | {"repeats": arguments.repeats, "machine": pages.this_machine()}
        results = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.is_file() else {"origins": {}}
        for section in _sections(arguments):
            log.logger.info("benchmark: %s", section)
            result = SECTIONS[section](workdir, arguments, origin["images"])
            if result is not None:
                results[section] = result
                results["origins"][section] = origin
                write_json(RESULTS, results)
    write_text(ROOT / "benchmarks/results.md", tables.results(results))
    if "jobs" in results:
        pages.rewrite(ROOT / "README.md", "make bench", tables.readme(results))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--photos", default="synthetic", help="class folders, zip or URL; default: generated pictures")
    parser.add_argument("--extractor", help="a .keras feature extractor, which is measured too")
    parser.add_argument("--extractor-size", type=int, default=260)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument(
        "--only", nargs="*", choices=SECTIONS, help="measure only these (or none), and keep the other results"
    )
    parser.add_argument(
        "--peers",
        action="store_true",
        help="also measure PyTorch and ONNX Runtime; the first time pip installs them into a separate environment in "
        f"{jobs.FOLDER}",
    )
    return parser.parse_args()


def _sections(arguments: argparse.Namespace) -> list[str]:
    """The sections to measure; `peers` only if it is named or with --peers."""
    names = [name for name in SECTIONS if name != "peers"] if arguments.only is None else list(arguments.only)
    return [*names, "peers"] if arguments.peers and "peers" not in names else names


def _images(workdir: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    raw = workdir / "data/raw"
    stand_ins = StandIns()
    fetched = image_source.fetch(arguments.photos, raw, sha256=None, seed=42, images_per_class=40, stand_ins=stand_ins)
    stand_ins.show_banner()
    accepted, *_ = manifest.scan(raw)
    splits = split.stratified(accepted, train=0.6, val=0.2, test=0.2, seed=42)
    write_csv(workdir / "data/splits.csv", splits)
    return {"dataset": fetched.dataset, "images": len(splits)}


def _jobs(workdir: Path, arguments: argparse.Namespace, images: int) -> dict[str, Any]:
    train, val = (round(images * share) for share in (0.6, 0.2))
    jobs: dict[str, Any] = {}
    for backbone in ("InceptionResNetV2", "DenseNet121"):
        jobs[f"Fine-tuning {backbone}, 10 epochs and test"] = {
            "what": "524 px. Two of the report's ten epochs are run; each of the others is counted like the second.",
            "image_passes": 10 * (train + val) + val,
            "report": ("parts.report.finetune", {"backbone": backbone, "epochs": 10, "measured_epochs": 2}),
            "pipeline": ("parts.pipeline.finetune", {"backbone_name": backbone, "epochs": 10}),
        }
    jobs["The CNN, 10 epochs and test"] = {
        "what": "256 px, all epochs are run.",
        "image_passes": 10 * (train + val) + val,
        "report": ("parts.report.cnn", {"epochs": 10}),
        "pipeline": ("parts.pipeline.train", {"epochs": 10}),
    }
    jobs["The sweep, 4 rates of 3 epochs"] = {
        "what": "256 px, all epochs are run.",
        "image_passes": 4 * 3 * (train + val),
        "report": ("parts.report.sweep", {"epochs": 3, "rates": RATES}),
        "pipeline": ("parts.pipeline.sweep", {"epochs": 3, "rates": RATES}),
    }
    for name, job in jobs.items():
        (report, report_options), (pipeline, options) = job.pop("report"), job.pop("pipeline")
        job["runs"] = {"report": [], "float32": [], "best": []}
        for repeat in range(arguments.repeats):
            job["runs"]["report"].append(measure(report, work=str(workdir), **report_options))
            for key, policy in (("float32", "float32"), ("best", "auto")):
                job["runs"][key].append(measure(pipeline, work=str(workdir), policy=policy, **options))
            log.logger.info("%s, run %d: %s", name, repeat + 1, {key: runs[-1] for key, runs in job["runs"].items()})
    return jobs


def _embedding(workdir: Path, arguments: argparse.Namespace, images: int) -> list[dict[str, Any]]:
    backbones = [("InceptionResNetV2", 524, 40), ("DenseNet121", 524, 80)]
    if arguments.extractor:
        backbones.append((arguments.extractor, arguments.extractor_size, images))
    task, runs = "parts.embedding_speed.time_embedding", []
    for name, size, count in backbones:
        options = {"work": str(workdir), "name": name, "size": size, "images": count, "repeats": 3}
        for policy in ("float32", "auto"):
            runs.append(measure(task, policy=policy, **options) | {"name": Path(name).stem, "size": size})
    return runs


def _waiting(workdir: Path, arguments: argparse.Namespace, images: int) -> list[dict[str, Any]]:
    models: list[tuple[str | None, int]] = [("InceptionResNetV2", 524), ("DenseNet121", 524), (None, 256)]
    if arguments.extractor:
        models.append((arguments.extractor, arguments.extractor_size))
    return [
        measure("parts.waiting.time_commands", work=str(workdir), backbone=name, size=size)
        | {"name": "the CNN" if name is None else Path(name).stem, "size": size}
        for name, size in models
    ]


def _peers(workdir: Path, arguments: argparse.Namespace, images: int) -> dict[str, Any]:
    return jobs.measure_jobs()


SECTIONS = {"jobs": _jobs, "embedding": _embedding, "waiting": _waiting, "peers": _peers}


if __name__ == "__main__":
    main()
