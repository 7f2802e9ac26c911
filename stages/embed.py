"""What embed_irv2 and embed_densenet do: every image of the manifest through the frozen backbone, once."""

import time
from pathlib import Path
from typing import TYPE_CHECKING

from realwaste import backbone, embedding, fused, precision, training
from realwaste.atomic import write_json
from realwaste.log import logger
from realwaste.records import read_json
from realwaste.tables import read_csv

if TYPE_CHECKING:
    from stages.params import Base, Finetune


def embed(name: str, base: "Base", own: "Finetune") -> None:
    # The seed has no effect: a frozen backbone draws no number, and random weights have a seed of their own.
    training.make_repeatable(0, deterministic=base.deterministic)
    policy = precision.resolve(base.precision)
    built = backbone.fetched(Path("data/weights") / name, own.image_size)
    model = fused.twin(built.model, policy)
    paths = read_csv(Path("data/manifest.csv"))["path"].tolist()
    started = time.perf_counter()
    vectors = embedding.embed(
        model, Path("data/raw"), paths, image_size=own.image_size, batch_size=own.embed_batch_size
    )
    seconds = time.perf_counter() - started

    embedding.save(Path(f"data/embeddings/{name}.npz"), vectors)
    facts = {
        "dataset": read_json(Path("data/dataset.json"))["dataset"],
        **built.facts,
        "precision": policy,
        "image_size": own.image_size,
        "images": len(paths),
        "features": vectors.vectors.shape[1],
        "seconds": round(seconds, 2),
        "images_per_second": round(len(paths) / seconds, 2),
    }
    write_json(Path(f"metrics/embed_{name}.json"), facts)
    logger.info("%s, %s: %d images in %.0f s", facts["backbone"], policy, len(paths), seconds)
