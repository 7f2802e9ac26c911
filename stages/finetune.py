"""What finetune_irv2 and finetune_densenet do: a head on the cached vectors, joined with its backbone."""

from pathlib import Path
from typing import TYPE_CHECKING

from realwaste import backbone, embedding, head, training, weights
from realwaste.atomic import replacing, write_csv, write_json
from realwaste.log import logger
from realwaste.samples import Samples, classes_of, labels_of, paths_of
from realwaste.tables import read_csv, read_json

if TYPE_CHECKING:
    from stages.params import Base, Finetune


def finetune(name: str, base: "Base", own: "Finetune") -> None:
    folder = Path("data/weights") / name
    record = weights.read(folder)
    splits = read_csv(Path("data/splits.csv"))
    vectors = embedding.load(Path(f"data/embeddings/{name}.npz"))
    train, val = (Samples(vectors.of(paths_of(splits, part)), labels_of(splits, part)) for part in ("train", "val"))
    training.make_repeatable(base.seed, deterministic=base.deterministic)
    classifier = head.build(vectors.vectors.shape[1], own.dense_units, len(classes_of(splits)))
    schedule = training.Schedule(own.epochs, own.batch_size, own.learning_rate, own.shuffle, base.seed)
    trained = training.fit(classifier, train, val, schedule)
    whole = head.join(
        backbone.build(
            record.constructor_or_file(folder), own.image_size, record.weights_file(folder), seed=record.seed or 0
        ),
        classifier,
    )

    dataset = read_json(Path("data/dataset.json"))["dataset"]
    with replacing(Path(f"models/{name}.keras")) as temporary:
        whole.save(temporary)
    write_csv(Path(f"plots/data/history_{name}.csv"), trained.history.assign(dataset=dataset))
    facts = {
        "dataset": dataset,
        "backbone": record.backbone,
        "weights": record.weights,
        "preprocessing": backbone.preprocessing_of(record.backbone),
    }
    write_json(Path(f"metrics/finetune_{name}.json"), facts | trained.summary())
    logger.info("%s (%s weights): %s", record.backbone, record.weights, trained.line())
