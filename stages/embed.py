"""embed_irv2, embed_densenet and embed_edge: every image that can be read through a frozen backbone, once."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from realwaste.core import library_settings
from realwaste.core.files import read_csv, read_json, write_json
from realwaste.core.log import logger
from realwaste.models import registry
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
    own, dataset = getattr(params, f"finetune_{name}"), read_json(Path("data/dataset.json"))["dataset"]
    metrics, vectors = Path(f"metrics/embed_{name}.json"), Path(f"data/embeddings/{name}")
    if getattr(own, "backbone", "") is None:
        registry.switch_off(metrics, dataset, vectors)
        logger.info("finetune_%s.backbone is null: off", name)
        return
    facts = _embed(name, params.base, own, vectors)
    write_json(metrics, {"dataset": dataset} | facts)


def _embed(name: str, base: "Base", own: "Finetune", target: Path) -> dict[str, object]:
    """Leave the vectors in `target`; what metrics say of them."""
    # TensorFlow, which a backbone that is off need not wait for.
    with library_settings.drop_import_logs():
        from realwaste.embedding import embeddings, extraction, local_extraction
        from realwaste.images.augmented_views import ViewConfig, AugmentedView
        from realwaste.models import feature_extractor
        from realwaste.runtime import device, resume
        from realwaste.runtime.inference_engine import resolve_engine

    policy = device.resolve_precision(base.precision)
    runs = resolve_engine(base.inference, policy)
    made = device.record(policy, base.engine, runs)
    device.log_device(made)
    built = feature_extractor.load_backbone(Path("data/weights") / name, own.image_size)
    embed = extraction.create_embedder(base.engine, built.model)
    paths = read_csv(Path("data/images.csv"))["path"].tolist()
    job = local_extraction.Job(
        Path("data/raw"), paths, policy, runs, own.image_size, own.embed_batch_size, deterministic=base.deterministic
    )
    work = {"parameters": own.model_dump(), "base": vars(base), "precision": policy, "inference": runs}
    with resume.progress_folder(f"embed_{name}", work, dependencies.files(f"embed_{name}")) as kept:
        found = embed(job, checkpoint_dir=kept)
        embeddings.save(target, found)
        seconds, how = found.seconds, ViewConfig(**own.views.model_dump(exclude={"count"}))
        for number in range(own.views.count):
            part = kept / f"view_{number}"
            part.mkdir(exist_ok=True)
            varied = embed(replace(job, view=AugmentedView(how, number)), checkpoint_dir=part)
            embeddings.save(embeddings.view_folder(target, number), varied)
            seconds += varied.seconds
    logger.info("%s, %s: %d images in %.0f s", built.facts["backbone"], policy, len(paths), seconds)
    return built.facts | {
        "machine": made,
        "image_size": own.image_size,
        "images": len(paths),
        "features": found.vectors.shape[1],
        "seconds": round(seconds, 2),
    }
