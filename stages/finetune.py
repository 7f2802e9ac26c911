"""What finetune_irv2 and finetune_densenet do: a head on cached vectors, saved with its backbone as one model."""

from pathlib import Path
from typing import TYPE_CHECKING

from realwaste import backbone, calibration, embedding, head, model_file, predictions, training
from realwaste.atomic import write_csv, write_json
from realwaste.log import logger
from realwaste.model_file import Classifier, Facts
from realwaste.records import read_json
from realwaste.samples import Samples, classes_of, labels_of, paths_of
from realwaste.tables import read_csv

if TYPE_CHECKING:
    import keras

    from stages.params import Base, Finetune


def finetune(name: str, base: "Base", own: "Finetune") -> None:
    splits, dataset = read_csv(Path("data/splits.csv")), read_json(Path("data/dataset.json"))["dataset"]
    classes = tuple(classes_of(splits))
    vectors = embedding.load(Path(f"data/embeddings/{name}.npz"))
    train, val = (Samples(vectors.of(paths_of(splits, part)), labels_of(splits, part)) for part in ("train", "val"))

    def fitted(seed: int) -> tuple["keras.Model", training.Training]:
        training.make_repeatable(seed, deterministic=base.deterministic)
        classifier = head.build(vectors.vectors.shape[1], own.dense_units, len(classes))
        # In float32 whatever base.precision says: two small matrices gain nothing.
        schedule = training.Schedule(own.epochs, own.batch_size, own.learning_rate, own.shuffle, seed)
        return classifier, training.fit(classifier, train, val, schedule)

    repeats = [fitted(seed) for seed in base.seeds]
    classifier, trained = fitted(base.seed)
    temperature = calibration.fitted_temperature(
        val.labels, predictions.of_vectors(classifier, vectors.of(paths_of(splits, "val")))
    )
    built = backbone.fetched(Path("data/weights") / name, own.image_size)

    facts = Facts(name, classes, own.image_size, dataset, built.facts["backbone"], built.facts["weights"], temperature)
    model_file.save(Path(f"models/{name}.keras"), Classifier(head.join(built.model, classifier), facts))
    head.save_weights(Path(f"models/{name}_heads.npy"), [repeated for repeated, _ in repeats])
    write_csv(Path(f"plots/data/history_{name}.csv"), trained.history.assign(dataset=dataset))
    about = {"dataset": dataset} | built.facts | trained.summary() | {"temperature": temperature}
    write_json(Path(f"metrics/finetune_{name}.json"), about)
    logger.info("%s (%s weights): %s", built.facts["backbone"], built.facts["weights"], trained.line())
