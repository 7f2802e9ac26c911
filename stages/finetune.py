"""finetune_irv2, finetune_densenet, finetune_edge: fit a head to cached vectors, and save it with its backbone."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from realwaste.core.files import read_csv, read_json, write_csv, write_json
from realwaste.core.log import logger
from realwaste.dataset.labels import classes_of
from realwaste.embedding import embeddings
from realwaste.models import feature_extractor, model_file, registry
from realwaste.runtime import device, resume
from realwaste.training import head
from realwaste.training.finetune_job import FinetuneJob
from realwaste.training.finetune_recipe import FinetuneRecipe
from stages.launcher import dependencies

if TYPE_CHECKING:
    from stages.launcher.params import Base, Finetune, Params

PARAMS = [
    "base.seed",
    "base.seeds",
    "base.deterministic",
    "base.precision",
    "base.inference",
    "finetune_{slot}.backbone",
    "finetune_{slot}.image_size",
    "finetune_{slot}.embed_batch_size",
    "finetune_{slot}.batch_size",
    "finetune_{slot}.epochs",
    "finetune_{slot}.learning_rate",
    "finetune_{slot}.dense_units",
    "finetune_{slot}.dropout",
    "finetune_{slot}.heads",
    "finetune_{slot}.shuffle",
    "finetune_{slot}.unfreeze",
    "finetune_{slot}.unfrozen",
    "finetune_{slot}.test_flips",
    "finetune_{slot}.test_crops",
]


def main(params: "Params", name: str) -> None:
    section, fetched = getattr(params, f"finetune_{name}"), read_json(Path("data/dataset.json"))
    history, facts = _finetune(name, params.base, section, fetched)
    write_json(Path(f"metrics/finetune_{name}.json"), {"dataset": fetched["dataset"]} | facts)
    write_csv(Path(f"plots/data/history_{name}.csv"), history)


def _finetune(
    name: str, base: "Base", section: "Finetune", fetched: dict[str, Any]
) -> tuple[pd.DataFrame, dict[str, object]]:
    """Train and save the model and its repeats with other seeds; returns its history and its metrics."""
    splits, policy = read_csv(Path("data/splits.csv")), device.resolve_precision(base.precision)
    classes = len(classes_of(splits))
    weights_folder, vectors_folder = Path("data/weights") / name, Path(f"data/embeddings/{name}")
    job = FinetuneJob(
        name,
        fetched["dataset"],
        fetched["origin"],
        Path("data/raw"),
        splits,
        weights_folder,
        feature_extractor.load_backbone(weights_folder, section.image_size),
        embeddings.load(vectors_folder),
        FinetuneRecipe.from_params(
            section, classes=classes, seed=base.seed, deterministic=base.deterministic, dtype_policy=policy
        ),
        policy,
        section.embed_batch_size,
        base.inference,
        embeddings.load_views(vectors_folder),
    )
    job.check()
    device_record = device.record(policy if section.unfreeze else "float32")
    device.log_device(device_record)
    work = {"parameters": section.model_dump(), "base": vars(base), "precision": policy}
    with resume.progress_folder(f"finetune_{name}", work, dependencies.files(f"finetune_{name}")) as checkpoint_dir:
        repeats = [job.fit(seed, checkpoint_dir)[0] for seed in base.seeds]
        model, trained = job.fit(base.seed, checkpoint_dir)
        classifier = job.build_classifier(model)
        model_file.save(registry.model_path(name), classifier)
        head.save_trained_weights(Path(f"models/{name}_heads.npz"), repeats)
    logger.info("%s: %s", registry.display_name(name, classifier.metadata.backbone), trained.describe())
    metrics = {"machine": device_record} | job.backbone.facts | trained.summary()
    metrics |= {"temperature": classifier.metadata.temperature}
    return trained.history.assign(dataset=fetched["dataset"]), metrics
