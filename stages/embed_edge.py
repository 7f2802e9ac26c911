"""Vectors of the third, light backbone, where there is one: see stages/embed.py."""

from pathlib import Path
from typing import TYPE_CHECKING

from realwaste import absence, start_up
from realwaste.log import logger
from realwaste.records import read_json

if TYPE_CHECKING:
    from stages.params import Params


def main(params: "Params") -> None:
    if params.finetune_edge.backbone is None:
        dataset = read_json(Path("data/dataset.json"))["dataset"]
        absence.switch_off(Path("metrics/embed_edge.json"), dataset, Path("data/embeddings/edge"))
        logger.info("finetune_edge.backbone is null: off")
        return
    with start_up.without_notes():
        from stages.embed import embed  # noqa: PLC0415 - TensorFlow, which this need not wait for when it is off

    embed("edge", params.base, params.finetune_edge)
