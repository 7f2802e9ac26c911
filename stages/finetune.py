"""What finetune_irv2, finetune_densenet and finetune_edge do: a head on cached vectors, saved with its backbone."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from realwaste import (
    backbone,
    calibration,
    device,
    embedding,
    finetuning,
    head,
    model_file,
    precision,
    predictions,
    resume,
    samples,
    training,
    unfreezing,
    views,
)
from realwaste.atomic import write_csv, write_json
from realwaste.augmentation import Augment
from realwaste.finetuning import Parts
from realwaste.log import logger
from realwaste.model_file import Classifier, Facts
from realwaste.records import read_json
from realwaste.samples import Samples, labels_of, paths_of
from realwaste.tables import read_csv
from stages import dependencies

if TYPE_CHECKING:
    import keras

    from stages.params import Base, Finetune

RAW, SPLITS = Path("data/raw"), Path("data/splits.csv")


def finetune(name: str, base: "Base", own: "Finetune") -> None:
    splits, dataset = read_csv(SPLITS), read_json(Path("data/dataset.json"))["dataset"]
    classes, folder = tuple(samples.classes_of(splits)), Path("data/weights") / name
    vectors = embedding.load(Path(f"data/embeddings/{name}"))
    cached = Parts(*(Samples(vectors.of(paths_of(splits, part)), labels_of(splits, part)) for part in ("train", "val")))
    pictures = Parts(*samples.pictures(splits, RAW, own.image_size, "memory")[:2]) if own.unfreeze else None
    policy, end = precision.resolve(base.precision), own.unfrozen
    made = device.record(policy if pictures else "float32")
    device.say(made)
    if own.unfreeze:  # a name that no layer has is found before anything is trained
        unfreezing.unfreeze(backbone.fetched(folder, own.image_size).model, own.unfreeze)

    def fitted(seed: int, kept: Path) -> tuple["keras.Model", training.Training]:
        """A head alone; with its backbone where that has learned too."""
        training.make_repeatable(seed, deterministic=base.deterministic)
        # In float32 whatever base.precision says: two small matrices gain nothing.
        schedule = training.Schedule(own.epochs, own.batch_size, own.learning_rate, own.shuffle, seed)
        classifier, first = finetuning.fit_head(cached, own.dense_units, len(classes), schedule)
        if pictures is None:
            return classifier, first
        schedule = training.Schedule(
            end.epochs, end.batch_size, end.learning_rate, own.shuffle, seed, policy, decay=end.decay
        )
        network, augment = backbone.fetched(folder, own.image_size).model, Augment(**end.augment.model_dump())
        whole, second = finetuning.fit_end(
            network, classifier, pictures, schedule, end=own.unfreeze, augment=augment, checkpoint=kept / f"seed_{seed}"
        )
        return whole, training.joined(first, second)

    work = {"parameters": own.model_dump(), "base": vars(base), "precision": policy}
    with resume.state(f"finetune_{name}", work, dependencies.files(f"finetune_{name}")) as kept:
        repeats = [fitted(seed, kept)[0] for seed in base.seeds]
        learned, trained = fitted(base.seed, kept)
        built = backbone.fetched(folder, own.image_size)
        whole = views.averaged(learned if pictures else head.join(built.model, learned), own.test_flips)
        origin = built.facts["backbone"], built.facts["weights"]
        at_once = views.batch_size(own.embed_batch_size, own.test_flips)
        facts = Facts(name, classes, own.image_size, dataset, *origin, precision=policy, batch_size=at_once)
        asked = paths_of(splits, "val")
        guesses = (
            predictions.of_vectors(learned, vectors.of(asked))
            if head.is_enough(whole)
            else predictions.of_pictures(Classifier(whole, facts).predictor, [RAW / path for path in asked], at_once)
        )
        temperature = calibration.fitted_temperature(labels_of(splits, "val"), guesses)
        model_file.save(Path(f"models/{name}.keras"), Classifier(whole, replace(facts, temperature=temperature)))
        head.save_trained(Path(f"models/{name}_heads.npz"), repeats)
        write_csv(Path(f"plots/data/history_{name}.csv"), trained.history.assign(dataset=dataset))
        about = {"dataset": dataset, "machine": made} | built.facts
        write_json(Path(f"metrics/finetune_{name}.json"), about | trained.summary() | {"temperature": temperature})
    logger.info("%s (%s weights): %s", *origin, trained.line())
