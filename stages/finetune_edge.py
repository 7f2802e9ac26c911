"""The head on the third, light backbone, where there is one: see stages/finetune.py."""

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from realwaste import absence, start_up
from realwaste.atomic import write_csv
from realwaste.log import logger
from realwaste.records import read_json

if TYPE_CHECKING:
    from stages.params import Params

HISTORY = ["epoch", "loss", "accuracy", "val_loss", "val_accuracy", "dataset"]


def main(params: "Params") -> None:
    if params.finetune_edge.backbone is None:
        dataset = read_json(Path("data/dataset.json"))["dataset"]
        outputs = Path("models/edge.keras"), Path("models/edge_heads.npz")
        absence.switch_off(Path("metrics/finetune_edge.json"), dataset, *outputs)
        # No epoch, but the charts' titles name the data set.
        write_csv(Path("plots/data/history_edge.csv"), pd.DataFrame([{"dataset": dataset}], columns=HISTORY))
        logger.info("finetune_edge.backbone is null: off")
        return
    with start_up.without_notes():
        from stages.finetune import finetune  # noqa: PLC0415 - TensorFlow, which this need not wait for when it is off

    finetune("edge", params.base, params.finetune_edge)
