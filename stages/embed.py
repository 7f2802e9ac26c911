"""What embed_irv2 and embed_densenet do: every image of the manifest through the frozen backbone, once."""

import time
from pathlib import Path
from typing import TYPE_CHECKING

from realwaste import backbone, embedding, training, weights
from realwaste.atomic import write_json
from realwaste.log import logger
from realwaste.tables import read_csv, read_json

if TYPE_CHECKING:
    from stages.params import Base, Finetune


def embed(name: str, base: "Base", own: "Finetune") -> None:
    folder = Path("data/weights") / name
    record = weights.read(folder)
    training.make_repeatable(record.seed or 0, deterministic=base.deterministic)
    model = backbone.build(
        record.constructor_or_file(folder), own.image_size, record.weights_file(folder), seed=record.seed or 0
    )
    paths = read_csv(Path("data/manifest.csv"))["path"].tolist()
    started = time.perf_counter()
    vectors = embedding.embed(
        model, Path("data/raw"), paths, image_size=own.image_size, batch_size=own.embed_batch_size
    )
    seconds = time.perf_counter() - started

    embedding.save(Path(f"data/embeddings/{name}.npz"), vectors)
    facts = {
        "dataset": read_json(Path("data/dataset.json"))["dataset"],
        "backbone": record.backbone,
        "weights": record.weights,
        "preprocessing": backbone.preprocessing_of(record.backbone),
        "image_size": own.image_size,
        "images": len(paths),
        "features": vectors.vectors.shape[1],
        "seconds": round(seconds, 2),
    }
    write_json(Path(f"metrics/embed_{name}.json"), facts)
    logger.info("%s: %d images in %.0f s, %.2f images/s", record.backbone, len(paths), seconds, len(paths) / seconds)
