"""The report's CNN: models/cnn.keras and the history of its training."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from realwaste import batches, calibration, cnn, device, model_file, precision, predictions, resume, training, views
from realwaste.atomic import write_csv, write_json
from realwaste.augmentation import Augment
from realwaste.engines import fitting
from realwaste.log import logger
from realwaste.model_file import Classifier, Facts
from realwaste.records import read_json
from realwaste.samples import classes_of
from realwaste.tables import read_csv
from stages import dependencies

if TYPE_CHECKING:
    import pandas as pd

    from stages.params import Params


def main(params: "Params") -> None:
    own, engine = params.train_cnn, fitting.of(params.base.engine)
    training.make_repeatable(params.base.seed, deterministic=params.base.deterministic)
    splits, dataset = read_csv(Path("data/splits.csv")), read_json(Path("data/dataset.json"))["dataset"]
    train, val, cache = engine.pictures(splits, Path("data/raw"), own.image_size, own.cache)
    classes = classes_of(splits)
    model = cnn.build(
        own.image_size,
        len(classes),
        batch_norm_momentum=own.batch_norm_momentum,
        head=own.head,
        dropout=own.dropout,
        augment=Augment(**own.augment.model_dump()),
    )
    policy = precision.resolve(params.base.precision)
    made = device.record(policy, params.base.engine)
    device.say(made)
    schedule = training.Schedule(
        own.epochs,
        own.batch_size,
        own.learning_rate,
        own.shuffle,
        params.base.seed,
        dtype_policy=policy,
        decay=own.decay,
        weight_decay=own.weight_decay,
        label_smoothing=own.label_smoothing,
        class_weights=own.class_weights,
        patience=own.patience,
    )
    # Whatever engine a run that did not end had, another may go on from its last epoch.
    base = {key: value for key, value in vars(params.base).items() if key != "engine"}
    work = {"parameters": own.model_dump(), "base": base, "precision": policy}

    def live(history: "pd.DataFrame") -> None:
        write_csv(Path("plots/data/history_cnn.csv"), history.assign(dataset=dataset))

    with resume.state("train_cnn", work, dependencies.files("train_cnn")) as kept:
        trained = engine.fit(model, train, val, schedule, checkpoint=kept / "training", live=live)
        live(trained.history)
        whole = views.averaged(model, own.test_flips)
        facts = Facts(
            "cnn",
            tuple(classes),
            own.image_size,
            dataset,
            cnn.BACKBONE,
            cnn.WEIGHTS,
            precision=policy,
            batch_size=views.batch_size(own.batch_size, own.test_flips),
        )
        asked = (pixels for pixels, _ in batches.ordered(val, batch_size=facts.batch_size))
        guesses = predictions.of_batches(Classifier(whole, facts).predictor, asked)
        temperature = calibration.fitted_temperature(val.labels, guesses)
        model_file.save(Path("models/cnn.keras"), Classifier(whole, replace(facts, temperature=temperature)))
        about = {
            "dataset": dataset,
            "backbone": cnn.BACKBONE,
            "weights": cnn.WEIGHTS,
            "machine": made,
            "cache": cache,
        }
        write_json(Path("metrics/train_cnn.json"), about | trained.summary() | {"temperature": temperature})
    logger.info("CNN: %s", trained.line())
