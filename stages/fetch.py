"""Images to data/raw, the split they came in to data/given.csv, weights to data/weights; a record of all as metrics."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from realwaste.core.files import replacing, write_csv, write_json
from realwaste.core.log import logger
from realwaste.models import registry
from realwaste.sources import backbone_weights, image_source, output_protection
from realwaste.sources.stand_ins import StandIns

if TYPE_CHECKING:
    from stages.launcher.params import FinetuneEdge, FinetuneReport, Params


def main(params: "Params") -> None:
    seed = params.base.seed
    # Weights first: a misspelt backbone is found before anything large is downloaded.
    chosen: dict[str, FinetuneReport | FinetuneEdge] = {
        "irv2": params.finetune_irv2,
        "densenet": params.finetune_densenet,
        "edge": params.finetune_edge,
    }
    records, stand_ins = {}, StandIns()
    for name, own in chosen.items():
        folder = Path("data/weights") / name
        if own.backbone is None:
            registry.mark_off(folder)
            continue
        parameter = f"finetune_{name}.weights"
        records[name] = backbone_weights.fetch(
            own.backbone, own.weights, folder, seed=seed, parameter=parameter, stand_ins=stand_ins
        )
    with replacing(Path("data/raw")) as images:
        fetched = image_source.fetch(
            params.fetch.source,
            images,
            sha256=params.fetch.sha256,
            seed=seed,
            images_per_class=params.fetch.synthetic_images_per_class,
            stand_ins=stand_ins,
        )
        # Before they are in their place: check_source takes what is there and not in the list for a person's.
        write_csv(Path("data/fetched.csv"), output_protection.listing(images))
    stand_ins.say()
    # Beside the metrics, without the weights: a new backbone must not touch what depends on the images alone.
    record = asdict(fetched)
    given = pd.DataFrame(sorted(record.pop("parts").items()), columns=["path", "split"])
    write_csv(Path("data/given.csv"), given)
    write_json(Path("data/dataset.json"), record)
    write_json(Path("metrics/fetch.json"), record | {name: asdict(record) for name, record in records.items()})
    used = ", ".join(f"{record.backbone}: {record.weights} weights" for record in records.values())
    logger.info("%s: %d images of %d classes; %s", fetched.dataset, fetched.images, fetched.classes, used)
