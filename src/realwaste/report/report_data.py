"""The results of a run, from which the report page and the model cards are made."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd


@dataclass(frozen=True)
class ReportData:
    """The results of a run, as its stages wrote them.

    Attributes:
        fetched, validated, split, sweep, suspects, shortcuts: the metrics of these stages; `sweep` is of lr_sweep.
        trainings, embeddings, evaluated: the metrics of train_cnn and finetune_*, embed and evaluate, by model.
        external: `sets` of metrics/external.json.
        rows, pairs: from table1.build_rows and comparison.compare_pairs.
        machines: machine.record of each stage that contributes to `rows`.
        split_counts, sweep_table, confusions, reliability, learning_curve: plots/data/*.csv.
        tested: the predictions table of the test images with calibrated probabilities, with the soft vote.
        architectures: tables of realwaste.models.architecture, with a column `model`.
        explanations: the table of images that the stage explain wrote; the files are in the folder `pictures`.
    """

    fetched: Mapping[str, Any]
    validated: Mapping[str, Any]
    split: Mapping[str, Any]
    sweep: Mapping[str, Any]
    trainings: Mapping[str, Mapping[str, Any]]
    embeddings: Mapping[str, Mapping[str, Any]]
    evaluated: Mapping[str, Mapping[str, Any]]
    external: Mapping[str, Mapping[str, Any]]
    rows: Mapping[str, Mapping[str, Any]]
    pairs: Mapping[str, Mapping[str, Any]]
    machines: Mapping[str, Mapping[str, Any]]
    rejected: pd.DataFrame
    split_counts: pd.DataFrame
    histories: Mapping[str, pd.DataFrame]
    sweep_table: pd.DataFrame
    tested: pd.DataFrame
    confusions: pd.DataFrame
    reliability: pd.DataFrame
    architectures: pd.DataFrame
    learning_curve: pd.DataFrame
    suspects: Mapping[str, Any]
    shortcuts: Mapping[str, Any]
    explanations: Mapping[str, Any]
    pictures: Path
