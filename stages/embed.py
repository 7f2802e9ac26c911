"""embed: run every readable image through a frozen backbone, once."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from realwaste.core.files import read_csv, read_json, write_json
from realwaste.core.log import logger
from realwaste.embedding import embeddings, extraction
from realwaste.images.augmented_views import AugmentedView, ViewConfig
from realwaste.models import feature_extractor, registry
from realwaste.runtime import device, resume
from realwaste.runtime.inference_engine import resolve_engine
from stages.launcher import dependencies

if TYPE_CHECKING:
    from stages.launcher.params import Base, Finetune, Params


PARAMS = [
    "base.deterministic",
    "base.precision",
    "base.engine",
    "base.inference",
    "finetune_{slot}.backbone",
    "finetune_{slot}.image_size",
    "finetune_{slot}.embed_batch_size",
    "finetune_{slot}.views",
]


def main(params: "Params", name: str) -> None:
    facts = _embed(name, params.base, getattr(params, f"finetune_{name}"), Path(f"data/embeddings/{name}"))
    dataset = read_json(Path("data/dataset.json"))["dataset"]
    write_json(Path(f"metrics/embed_{name}.json"), {"dataset": dataset} | facts)


def _embed(name: str, base: "Base", section: "Finetune", target: Path) -> dict[str, object]:
    """Save the vectors to `target`; returns the metrics."""
    policy = device.resolve_precision(base.precision)
    engine = resolve_engine(base.inference, policy)
    device_record = device.record(policy, base.engine, engine)
    device.log_device(device_record)
    backbone = feature_extractor.load_backbone(Path("data/weights") / name, section.image_size)
    embed = extraction.create_embedder(base.engine, backbone.model)
    paths = read_csv(Path("data/images.csv"))["path"].tolist()
    sizes = backbone.image_size, section.embed_batch_size
    job = extraction.Job(Path("data/raw"), paths, policy, engine, *sizes, deterministic=base.deterministic)
    work = {"parameters": section.model_dump(), "base": vars(base), "precision": policy, "inference": engine}
    with resume.progress_folder(f"embed_{name}", work, dependencies.files(f"embed_{name}")) as checkpoint_dir:
        embedding = embed(job, checkpoint_dir=checkpoint_dir)
        embeddings.save(target, embedding)
        seconds, view_config = embedding.seconds, ViewConfig(**section.views.model_dump(exclude={"count"}))
        for number in range(section.views.count):
            view_dir = checkpoint_dir / f"view_{number}"
            view_dir.mkdir(exist_ok=True)
            view_embedding = embed(replace(job, view=AugmentedView(view_config, number)), checkpoint_dir=view_dir)
            embeddings.save(embeddings.view_folder(target, number), view_embedding)
            seconds += view_embedding.seconds
    logger.info("%s: %d images in %.0f s", registry.display_name(name, backbone.facts["backbone"]), len(paths), seconds)
    return backbone.facts | {
        "machine": device_record,
        "image_size": backbone.image_size,
        "images": len(paths),
        "features": embedding.vectors.shape[1],
        "seconds": round(seconds, 2),
    }
