"""The report's CNN: models/cnn.keras and the history of its training."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from realwaste.core.files import read_csv, read_json, write_csv, write_json
from realwaste.core.log import logger
from realwaste.dataset.labels import classes_of
from realwaste.models import cnn, model_file, novelty, registry, session, test_time_augmentation
from realwaste.models.model_file import Classifier, Facts
from realwaste.models.probabilities import fit_temperature
from realwaste.models.session import Session
from realwaste.runtime import device, resume
from realwaste.runtime.determinism import make_repeatable
from realwaste.training import batches, samples, training_loop
from realwaste.training.cnn_recipe import CnnRecipe
from realwaste.training.samples import Samples
from stages.launcher import dependencies

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from stages.launcher.params import Params


PARAMS = ["base.seed", "base.deterministic", "base.precision", "base.inference", "train_cnn"]


def main(params: "Params") -> None:
    base = params.base
    make_repeatable(base.seed, deterministic=base.deterministic)
    splits, fetched = read_csv(Path("data/splits.csv")), read_json(Path("data/dataset.json"))
    classes, dataset = tuple(classes_of(splits)), fetched["dataset"]
    policy = device.resolve_precision(base.precision)
    recipe = CnnRecipe.from_params(params.train_cnn, seed=base.seed, dtype_policy=policy)
    image_size, schedule = recipe.architecture.image_size, recipe.schedule
    train, val, cache = samples.pictures(splits, Path("data/raw"), image_size, recipe.cache)
    model = cnn.build(classes=len(classes), **vars(recipe.architecture))
    made = device.record(policy)
    device.log_device(made)
    work = {"parameters": params.train_cnn.model_dump(), "base": vars(base), "precision": policy}

    def live(history: "pd.DataFrame") -> None:
        write_csv(Path("plots/data/history_cnn.csv"), history.assign(dataset=dataset))

    with resume.progress_folder("train_cnn", work, dependencies.files("train_cnn")) as kept:
        trained = training_loop.fit(model, train, val, schedule, checkpoint=kept / "training", live=live)
        live(trained.history)
        facts = Facts(
            name="cnn",
            classes=classes,
            image_size=image_size,
            dataset=dataset,
            backbone=cnn.BACKBONE,
            weights=cnn.WEIGHTS,
            precision=policy,
            batch_size=test_time_augmentation.batch_size(schedule.batch_size, recipe.test_flips),
            origin=fetched["origin"],
        )
        classifier = Classifier(test_time_augmentation.average_views(model, recipe.test_flips), facts)
        classifier = _measured(classifier, train, val, base.inference)
        model_file.save(registry.model_path("cnn"), classifier)
        about = {"dataset": dataset, "backbone": cnn.BACKBONE, "weights": cnn.WEIGHTS, "machine": made, "cache": cache}
        about |= trained.summary()
        write_json(Path("metrics/train_cnn.json"), about | {"temperature": classifier.facts.temperature})
    logger.info("CNN: %s", trained.line())


def _measured(classifier: Classifier, train: Samples, val: Samples, inference: str) -> Classifier:
    """With its temperature and novelty; the session that finds them, 0.4 GB at 256 px, is gone when it is saved."""
    asked = session.from_classifier(classifier, inference=inference)
    batch_size = classifier.facts.batch_size
    guesses, _ = asked.predict_batches(pixels for pixels, _ in batches.ordered(val, batch_size=batch_size))
    facts = replace(classifier.facts, temperature=fit_temperature(val.labels, guesses))
    known = novelty.fit(_features(asked, train), _features(asked, val))
    return replace(classifier, facts=facts, novelty=known)


def _features(asked: Session, samples: Samples) -> "NDArray[np.float32]":
    """What novelty is measured on."""
    rows, at_once = novelty.sample_indices(len(samples.labels)), asked.facts.batch_size
    parts = (rows[start : start + at_once] for start in range(0, len(rows), at_once))
    return asked.predict_batches(samples.inputs[part] for part in parts)[1]
