"""Fetch images to data/raw, their predefined split to data/given.csv, and backbone weights to data/weights."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from realwaste.core.errors import list_examples
from realwaste.core.file_names import printable
from realwaste.core.files import atomic_replace, is_stage_output, read_csv, write_csv, write_json
from realwaste.core.log import logger
from realwaste.models import registry
from realwaste.sources import backbone_weights, image_source, output_protection
from realwaste.sources.stand_ins import StandIns
from stages.launcher import dependencies

if TYPE_CHECKING:
    from stages.launcher.params import Finetune, Params


RAW, FETCHED = Path("data/raw"), Path("data/fetched.csv")


PARAMS = ["base.seed", "fetch", "finetune_{slot}.backbone", "finetune_{slot}.weights"]


def main(params: "Params") -> None:
    seed = params.base.seed
    # Weights first: a misspelt backbone is found before anything large is downloaded.
    sections: dict[str, Finetune] = {name: getattr(params, f"finetune_{name}") for name in registry.BACKBONES}
    _refuse_outputs_as_sources(params.fetch.source, sections)
    _keep_added_files()
    records, stand_ins = {}, StandIns()
    for name, section in sections.items():
        records[name] = backbone_weights.fetch(
            section.backbone,
            section.weights,
            Path("data/weights") / name,
            seed=seed,
            parameter=f"finetune_{name}.weights",
            stand_ins=stand_ins,
        )
    with atomic_replace(RAW, is_stage_output) as images:
        fetched = image_source.fetch(
            params.fetch.source,
            images,
            sha256=params.fetch.sha256,
            seed=seed,
            images_per_class=params.fetch.synthetic_images_per_class,
            stand_ins=stand_ins,
        )
        # Before the images are in their place: files that are there and not in the list count as added by a person.
        write_csv(FETCHED, output_protection.list_files(images))
    stand_ins.show_banner()
    # Beside the metrics, without the weights: a new backbone must not touch what depends on the images alone.
    record = asdict(fetched)
    predefined = pd.DataFrame(sorted(record.pop("parts").items()), columns=["path", "split"])
    write_csv(Path("data/given.csv"), predefined)
    write_json(Path("data/dataset.json"), record)
    write_json(Path("metrics/fetch.json"), record | {name: asdict(record) for name, record in records.items()})
    weights = ", ".join(f"{record.backbone}: {record.weights} weights" for record in records.values())
    logger.info("%s: %d images of %d classes; %s", fetched.dataset, fetched.images, fetched.classes, weights)


def _refuse_outputs_as_sources(source: str, sections: "dict[str, Finetune]") -> None:
    """Outputs are replaced whole, so images or weights in them would be lost."""
    sources = {"fetch.source": source}
    for name, section in sections.items():
        sources |= {f"finetune_{name}.backbone": section.backbone, f"finetune_{name}.weights": section.weights}
    for parameter, value in sources.items():
        output_protection.refuse_source_inside(parameter, value, dependencies.outputs())


def _keep_added_files() -> None:
    """Move files that a person added to data/raw to data/added; a warning names them."""
    # Without the list, as after an update of the code, the manifest names what was fetched.
    lists = [path for path in (FETCHED, Path("data/manifest.csv")) if path.exists()]
    fetched = read_csv(lists[0]) if lists else pd.DataFrame(columns=["path", "bytes"])
    moved = output_protection.move_added_files(RAW, fetched, Path("data/added"))
    if moved:
        remedy = "add them to the source, then run `dvc repro -f fetch`"
        count = "1 file in %s was" if len(moved) == 1 else f"{len(moved)} files in %s were"
        logger.warning(f"{count} not from fetch, moved to %s: %s", RAW, list_examples(map(printable, moved)), remedy)
