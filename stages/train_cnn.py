"""The report's CNN: models/cnn.keras and the history of its training."""

from pathlib import Path
from typing import TYPE_CHECKING

from realwaste import cnn, training
from realwaste.atomic import replacing, write_csv, write_json
from realwaste.log import logger
from realwaste.samples import classes_of, pictures
from realwaste.tables import read_csv, read_json

if TYPE_CHECKING:
    from stages.params import Params


def main(params: "Params") -> None:
    own = params.train_cnn
    training.make_repeatable(params.base.seed, deterministic=params.base.deterministic)
    splits = read_csv(Path("data/splits.csv"))
    train, val = (pictures(splits, part, Path("data/raw"), own.image_size) for part in ("train", "val"))
    model = cnn.build(own.image_size, len(classes_of(splits)), batch_norm_momentum=own.batch_norm_momentum)
    schedule = training.Schedule(own.epochs, own.batch_size, own.learning_rate, own.shuffle, params.base.seed)
    trained = training.fit(model, train, val, schedule)

    dataset = read_json(Path("data/dataset.json"))["dataset"]
    with replacing(Path("models/cnn.keras")) as temporary:
        training.without_optimizer(model).save(temporary)
    write_csv(Path("plots/data/history_cnn.csv"), trained.history.assign(dataset=dataset))
    write_json(Path("metrics/train_cnn.json"), {"dataset": dataset} | trained.summary())
    logger.info("CNN: %s", trained.line())
