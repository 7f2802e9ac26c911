"""What finetune_irv2 and finetune_densenet do: a head on cached vectors, saved with its backbone as one model."""

from pathlib import Path
from typing import TYPE_CHECKING

from realwaste import backbone, embedding, head, model_file, training
from realwaste.atomic import write_csv, write_json
from realwaste.log import logger
from realwaste.model_file import Classifier, Facts
from realwaste.records import read_json
from realwaste.samples import Samples, classes_of, labels_of, paths_of
from realwaste.tables import read_csv

if TYPE_CHECKING:
    from stages.params import Base, Finetune


def finetune(name: str, base: "Base", own: "Finetune") -> None:
    splits, dataset = read_csv(Path("data/splits.csv")), read_json(Path("data/dataset.json"))["dataset"]
    classes = classes_of(splits)
    vectors = embedding.load(Path(f"data/embeddings/{name}.npz"))
    train, val = (Samples(vectors.of(paths_of(splits, part)), labels_of(splits, part)) for part in ("train", "val"))
    training.make_repeatable(base.seed, deterministic=base.deterministic)
    classifier = head.build(vectors.vectors.shape[1], own.dense_units, len(classes))
    # In float32 whatever base.precision says: two small matrices gain nothing.
    schedule = training.Schedule(own.epochs, own.batch_size, own.learning_rate, own.shuffle, base.seed)
    trained = training.fit(classifier, train, val, schedule)
    built = backbone.fetched(Path("data/weights") / name, own.image_size)

    facts = Facts(name, tuple(classes), own.image_size, dataset, built.facts["backbone"], built.facts["weights"])
    model_file.save(Path(f"models/{name}.keras"), Classifier(head.join(built.model, classifier), facts))
    write_csv(Path(f"plots/data/history_{name}.csv"), trained.history.assign(dataset=dataset))
    write_json(Path(f"metrics/finetune_{name}.json"), {"dataset": dataset} | built.facts | trained.summary())
    logger.info("%s (%s weights): %s", built.facts["backbone"], built.facts["weights"], trained.line())
