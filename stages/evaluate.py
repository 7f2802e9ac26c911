"""Every model's answer for every image, once: data/predictions.csv, and what the test answers are worth."""

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from realwaste import classification, cost, embedding, head, model_file, predictions, samples
from realwaste.atomic import write_csv, write_json
from realwaste.log import logger
from realwaste.records import read_json
from realwaste.tables import read_csv

if TYPE_CHECKING:
    from stages.params import Params

RAW = Path("data/raw")


def main(params: "Params") -> None:
    splits = read_csv(Path("data/splits.csv"))
    classes, paths = samples.classes_of(splits), splits["path"].tolist()
    answers, costs, undefined = [], {}, {}
    for name in ("cnn", "irv2", "densenet"):
        file = Path(f"models/{name}.keras")
        model = model_file.load(file).model
        if name == "cnn":
            probabilities = predictions.of_pictures(model, [RAW / path for path in paths])
        else:
            vectors = embedding.load(Path(f"data/embeddings/{name}.npz")).of(paths)
            probabilities = predictions.of_vectors(head.of(model), vectors)
        probabilities, undefined[name] = predictions.defined(probabilities)
        if undefined[name]:
            logger.warning("%s diverged: %d of its answers are no numbers, counted as 1/n", name, undefined[name])
        answers.append(predictions.rows(splits, name, probabilities, classes))
        costs[name] = cost.measure(model, file, RAW / paths[0], repeats=params.evaluate.latency_repeats)

    dataset = read_json(Path("data/dataset.json"))["dataset"]
    table = pd.concat(answers, ignore_index=True)
    tested = table[table["split"] == "test"]
    scored = {
        str(name): classification.summary(predictions.labels_of(own), predictions.probabilities_of(own), classes)
        | {"undefined_answers": undefined[str(name)]}
        for name, own in tested.groupby("model", sort=False)
    }
    write_csv(Path("data/predictions.csv"), table)
    write_json(Path("metrics/evaluate.json"), {"dataset": dataset} | scored)
    write_json(Path("metrics/cost.json"), costs)
    write_csv(Path("plots/data/confusion.csv"), predictions.confusions(tested).assign(dataset=dataset))
    for name, facts in scored.items():
        logger.info("%s: test accuracy %.4f, loss %.4f", name, facts["test_accuracy"], facts["test_loss"])
