"""data/suspects.csv: every image whose label nobody has confirmed or corrected, the most doubtful label first.

Each image is predicted by models that were not trained on it.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from realwaste.core import machine
from realwaste.core.files import read_csv, read_json, write_csv, write_json
from realwaste.core.log import logger
from realwaste.dataset import label_corrections
from realwaste.dataset.labels import classes_of
from realwaste.embedding import embeddings
from realwaste.evaluation import label_errors, linear_probe
from realwaste.models import weights_record

if TYPE_CHECKING:
    from stages.launcher.params import Params


def main(params: "Params") -> None:
    manifest, dataset = read_csv(Path("data/manifest.csv")), read_json(Path("data/dataset.json"))["dataset"]
    classes = classes_of(manifest)
    labels = np.searchsorted(classes, manifest["label"])
    groups = read_csv(Path("data/groups.csv")).set_index("path").loc[manifest["path"], "group"].to_numpy()
    probabilities = {}
    for name in weights_record.preferred_backbones(Path("data/weights")):
        vectors = embeddings.load(Path(f"data/embeddings/{name}")).select(manifest["path"].tolist())
        probabilities[name] = linear_probe.predict_out_of_sample(vectors, labels, groups, params.suspects.folds)
    table = label_errors.rank_label_errors(manifest, classes, list(probabilities.values()))
    decided = manifest.loc[label_corrections.find_decided_rows(manifest, label_corrections.load()), "path"]
    table = table[~table["path"].isin(decided)]
    write_csv(Path("data/suspects.csv"), table)
    metrics = {"dataset": dataset, "machine": machine.record("float32"), "models": len(probabilities)}
    metrics |= {
        "backbones": ", ".join(probabilities),
        "images": len(table),
        "decided": len(decided),
        "doubted_by_all": int((table["models_disagreeing"] == len(probabilities)).sum()),
        "doubted_by_any": int((table["models_disagreeing"] > 0).sum()),
    }
    write_json(Path("metrics/suspects.json"), metrics)
    doubted = metrics["doubted_by_any"]
    logger.info("%d of %d labels are doubtful: `realwaste review` shows them", doubted, len(table))
