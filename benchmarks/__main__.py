"""`make bench`: run the measurements, write benchmarks/results.json and .md and the README's table."""

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.parts import growth, pages, tables
from benchmarks.parts.child import ROOT, measure
from benchmarks.parts.peers import environment, jobs
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
        work = Path(folder)
        origin = _images(work, arguments) | {"repeats": arguments.repeats, "machine": pages.this_machine()}
        found = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.is_file() else {"origins": {}}
        for section in _sections(arguments):
            log.logger.info("benchmark: %s", section)
            result = SECTIONS[section](work, arguments, origin["images"])
            if result is not None:
                found[section] = result
                found["origins"][section] = origin
                write_json(RESULTS, found)
    write_text(ROOT / "benchmarks/results.md", tables.results(found))
    if "jobs" in found:
        pages.rewrite(ROOT / "README.md", "make bench", tables.readme(found))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--photos", default="synthetic", help="folder per class, zip or URL; by default drawn pictures")
    parser.add_argument("--extractor", help="a .keras feature extractor with trained weights, for the precision table")
    parser.add_argument("--extractor-size", type=int, default=260)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument(
        "--only", nargs="*", choices=SECTIONS, help="measure these (or none) again, keep the other results"
    )
    parser.add_argument(
        "--peers",
        action="store_true",
        help="measure PyTorch and ONNX Runtime too, which pip installs, the first time, in an environment of their own "
        f"in {environment.FOLDER}",
    )
    return parser.parse_args()


def _sections(arguments: argparse.Namespace) -> list[str]:
    """Those that were asked for; `peers` only by its name or by --peers."""
    named = [name for name in SECTIONS if name != "peers"] if arguments.only is None else list(arguments.only)
    return [*named, "peers"] if arguments.peers and "peers" not in named else named


def _images(work: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    raw = work / "data/raw"
    stand_ins = StandIns()
    fetched = image_source.fetch(arguments.photos, raw, sha256=None, seed=42, images_per_class=40, stand_ins=stand_ins)
    stand_ins.say()
    accepted, *_ = manifest.scan(raw)
    splits = split.stratified(accepted, train=0.6, val=0.2, test=0.2, seed=42)
    write_csv(work / "data/splits.csv", splits)
    return {"dataset": fetched.dataset, "images": len(splits)}


def _jobs(work: Path, arguments: argparse.Namespace, images: int) -> dict[str, Any]:
    train, val = (round(images * share) for share in (0.6, 0.2))
    jobs: dict[str, Any] = {}
    for backbone in ("InceptionResNetV2", "DenseNet121"):
        jobs[f"Fine-tuning {backbone}, 10 epochs and test"] = {
            "what": "524 px. Of the report's ten epochs two are run; the others are taken to last as the second does.",
            "image_passes": 10 * (train + val) + val,
            "report": ("parts.report.finetune", {"backbone": backbone, "epochs": 10, "measured_epochs": 2}),
            "pipeline": ("parts.pipeline.finetune", {"name": backbone, "epochs": 10}),
        }
    jobs["The CNN, 10 epochs and test"] = {
        "what": "256 px, every epoch run.",
        "image_passes": 10 * (train + val) + val,
        "report": ("parts.report.cnn", {"epochs": 10}),
        "pipeline": ("parts.pipeline.train", {"epochs": 10}),
    }
    jobs["The sweep, 4 rates of 3 epochs"] = {
        "what": "256 px, every epoch run.",
        "image_passes": 4 * 3 * (train + val),
        "report": ("parts.report.sweep", {"epochs": 3, "rates": RATES}),
        "pipeline": ("parts.pipeline.sweep", {"epochs": 3, "rates": RATES}),
    }
    for name, job in jobs.items():
        (reports, report), (pipelines, pipeline) = job.pop("report"), job.pop("pipeline")
        job["runs"] = {"report": [], "float32": [], "best": []}
        for turn in range(arguments.repeats):
            job["runs"]["report"].append(measure(reports, work=str(work), **report))
            for key, policy in (("float32", "float32"), ("best", "auto")):
                job["runs"][key].append(measure(pipelines, work=str(work), policy=policy, **pipeline))
            log.logger.info("%s, run %d: %s", name, turn + 1, {key: runs[-1] for key, runs in job["runs"].items()})
    return jobs


def _embedding(work: Path, arguments: argparse.Namespace, images: int) -> list[dict[str, Any]]:
    backbones = [("InceptionResNetV2", 524, 40), ("DenseNet121", 524, 80)]
    if arguments.extractor:
        backbones.append((arguments.extractor, arguments.extractor_size, images))
    return [
        measure(
            "parts.limits.embedding_rate", work=str(work), name=name, size=size, policy=policy, images=count, repeats=3
        )
        | {"name": Path(name).stem, "size": size}
        for name, size, count in backbones
        for policy in ("float32", "auto")
    ]


def _epoch_ends(work: Path, arguments: argparse.Namespace, images: int) -> dict[str, Any]:
    return measure("parts.limits.epoch_ends", images=800, epochs=20)


def _validation(work: Path, arguments: argparse.Namespace, images: int) -> dict[str, Any]:
    return measure("parts.limits.validation_rate", work=str(work), repeats=5)


def _precision(work: Path, arguments: argparse.Namespace, images: int) -> dict[str, Any] | None:
    if not arguments.extractor:
        log.logger.warning("no --extractor: what bfloat16 does to accuracy shows with trained weights only; left out")
        return None
    name, size = arguments.extractor, arguments.extractor_size
    return {
        f"heads on {Path(name).stem}": measure(
            "parts.precisions.heads", work=str(work), name=name, size=size, seeds=[42, 43, 44, 45, 46]
        ),
        "the CNN, 20 epochs": measure("parts.precisions.cnns", work=str(work), seeds=[42, 43, 44], epochs=20),
    }


def _growth(work: Path, arguments: argparse.Namespace, images: int) -> list[dict[str, Any]]:
    return [growth.stages(str(work), count) | {"shown": growth.GROWING} for count in (500, 2000, 8000)]


def _start(work: Path, arguments: argparse.Namespace, images: int) -> dict[str, Any]:
    return {
        "nothing_to_do": growth.nothing_to_do(str(work), arguments.repeats)["seconds"],
        "stages": growth.starts(arguments.repeats)["stages"],
        "head": growth.head(str(work)),
    }


def _waiting(work: Path, arguments: argparse.Namespace, images: int) -> list[dict[str, Any]]:
    models: list[tuple[str | None, int]] = [("InceptionResNetV2", 524), ("DenseNet121", 524), (None, 256)]
    if arguments.extractor:
        models.append((arguments.extractor, arguments.extractor_size))
    return [
        measure("parts.waiting.commands", work=str(work), backbone=name, size=size)
        | {"name": "the CNN" if name is None else Path(name).stem, "size": size}
        for name, size in models
    ]


def _step(work: Path, arguments: argparse.Namespace, images: int) -> list[dict[str, Any]]:
    return [measure("parts.step.profile", policy=policy) for policy in ("float32", "auto")]


def _peers(work: Path, arguments: argparse.Namespace, images: int) -> dict[str, Any]:
    return jobs.measured()


SECTIONS = {
    "jobs": _jobs,
    "embedding": _embedding,
    "epoch_ends": _epoch_ends,
    "validation": _validation,
    "precision": _precision,
    "growth": _growth,
    "start": _start,
    "waiting": _waiting,
    "step": _step,
    "peers": _peers,
}


if __name__ == "__main__":
    main()
