"""The report's CNN: models/cnn.keras and the history of its training."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from realwaste.core.files import read_csv, read_json, write_csv, write_json
from realwaste.core.log import logger
from realwaste.dataset.labels import classes_of
from realwaste.models import (
    cnn,
    inference_networks,
    model_file,
    novelty,
    registry,
    session,
    test_time_augmentation,
    training_photographs,
)
from realwaste.models.model_file import Classifier, ModelMetadata
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
    train, val, cache = samples.load_pictures(splits, Path("data/raw"), image_size, recipe.cache)
    model = cnn.build(classes=len(classes), **vars(recipe.architecture))
    device.log_device(device_record := device.record(policy))
    settings = {"parameters": params.train_cnn.model_dump(), "base": vars(base), "precision": policy}

    def on_epoch_end(history: "pd.DataFrame") -> None:
        write_csv(Path("plots/data/history_cnn.csv"), history.assign(dataset=dataset))

    with resume.progress_folder("train_cnn", settings, dependencies.files("train_cnn")) as checkpoint_dir:
        trained = training_loop.fit(
            model, train, val, schedule, checkpoint=checkpoint_dir / "training", on_epoch_end=on_epoch_end
        )
        on_epoch_end(trained.history)
        metadata = ModelMetadata(
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
        classifier = Classifier(test_time_augmentation.average_views(model, recipe.test_flips), metadata)
        classifier = _add_temperature_and_novelty(classifier, train, val, base.inference)
        photographs = training_photographs.from_splits(splits)
        model_file.save(registry.model_path("cnn"), replace(classifier, photographs=photographs))
        metrics = {"dataset": dataset, "backbone": cnn.BACKBONE, "weights": cnn.WEIGHTS, "machine": device_record}
        metrics |= {"cache": cache, **trained.summary(), "temperature": classifier.metadata.temperature}
        write_json(Path("metrics/train_cnn.json"), metrics)
    logger.info("CNN: %s", trained.describe())


def _add_temperature_and_novelty(classifier: Classifier, train: Samples, val: Samples, inference: str) -> Classifier:
    """The classifier with both. The session, 0.4 GB at 256 px, is freed before the model is saved."""
    classifier = inference_networks.add_networks(classifier, inference)
    inference_session = session.from_classifier(classifier, inference=inference)
    batch_size = classifier.metadata.batch_size
    probabilities, _ = inference_session.predict_batches(
        pixels for pixels, _ in batches.ordered(val, batch_size=batch_size)
    )
    metadata = replace(classifier.metadata, temperature=fit_temperature(val.labels, probabilities))
    fitted = novelty.fit(_features(inference_session, train), _features(inference_session, val))
    return replace(classifier, metadata=metadata, novelty=fitted)


def _features(inference_session: Session, samples: Samples) -> "NDArray[np.float32]":
    """The features of a sample of the images, from which the novelty score is computed."""
    rows, batch_size = novelty.sample_indices(len(samples.labels)), inference_session.metadata.batch_size
    chunks = (rows[start : start + batch_size] for start in range(0, len(rows), batch_size))
    return inference_session.predict_batches(samples.inputs[batch] for batch in chunks)[1]
