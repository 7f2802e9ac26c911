"""Images to data/raw, backbone weights to data/weights; what was really used to metrics/fetch.json."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from realwaste import dataset, weights
from realwaste.atomic import write_json
from realwaste.log import logger

if TYPE_CHECKING:
    from stages.params import Params


def main(params: "Params") -> None:
    seed = params.base.seed
    # Weights first: a misspelt backbone is found before anything large is downloaded.
    backbones = {
        "irv2": (params.finetune_irv2.backbone, params.finetune_irv2.weights),
        "densenet": (params.finetune_densenet.backbone, params.finetune_densenet.weights),
    }
    records = {
        name: weights.fetch(
            backbone, choice, Path("data/weights") / name, seed=seed, parameter=f"finetune_{name}.weights"
        )
        for name, (backbone, choice) in backbones.items()
    }
    fetched = dataset.fetch(
        params.fetch.source,
        Path("data/raw"),
        sha256=params.fetch.sha256,
        seed=seed,
        images_per_class=params.fetch.synthetic_images_per_class,
    )
    # Beside the metrics, without the weights: a new backbone must not touch what depends on the images alone.
    write_json(Path("data/dataset.json"), asdict(fetched))
    write_json(Path("metrics/fetch.json"), asdict(fetched) | {name: asdict(record) for name, record in records.items()})
    used = ", ".join(f"{record.backbone}: {record.weights} weights" for record in records.values())
    logger.info("%s: %d images of %d classes; %s", fetched.dataset, fetched.images, fetched.classes, used)
