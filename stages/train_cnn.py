"""The report's CNN: models/cnn.keras and the history of its training."""

from pathlib import Path
from typing import TYPE_CHECKING

from realwaste import cnn, precision, resume, training
from realwaste.atomic import replacing, write_csv, write_json
from realwaste.log import logger
from realwaste.records import read_json
from realwaste.samples import classes_of, pictures
from realwaste.tables import read_csv

if TYPE_CHECKING:
    import keras

    from stages.params import Params


def main(params: "Params") -> None:
    own = params.train_cnn
    training.make_repeatable(params.base.seed, deterministic=params.base.deterministic)
    splits = read_csv(Path("data/splits.csv"))
    train, val, cache = pictures(splits, Path("data/raw"), own.image_size, own.cache)
    model = cnn.build(own.image_size, len(classes_of(splits)), batch_norm_momentum=own.batch_norm_momentum)
    policy = precision.resolve(params.base.precision)
    schedule = training.Schedule(
        own.epochs, own.batch_size, own.learning_rate, own.shuffle, params.base.seed, dtype_policy=policy
    )
    facts = {"parameters": vars(own), "base": vars(params.base), "precision": policy}
    with resume.state("train_cnn", facts, [Path("data/splits.csv")]) as kept:
        trained = training.fit(model, train, val, schedule, kept / "training.npz")
        _write(model, trained, {"precision": policy, "cache": cache})
    logger.info("CNN: %s", trained.line())


def _write(model: "keras.Model", trained: training.Training, facts: dict[str, str]) -> None:
    dataset = read_json(Path("data/dataset.json"))["dataset"]
    with replacing(Path("models/cnn.keras")) as temporary:
        model.save(temporary)
    write_csv(Path("plots/data/history_cnn.csv"), trained.history.assign(dataset=dataset))
    write_json(Path("metrics/train_cnn.json"), {"dataset": dataset} | facts | trained.summary())
