"""For evaluate: each model's test accuracy by the number of images it learned from, trained anew on parts of them."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from realwaste.core.files import atomic_replace
from realwaste.core.log import logger
from realwaste.dataset import labels
from realwaste.embedding import embeddings
from realwaste.evaluation import learning_curve
from realwaste.evaluation.learning_curve import Rows, TrainAndTest
from realwaste.images.reader import prefetch_batches
from realwaste.models import cnn, registry, test_time_augmentation
from realwaste.models.probabilities import fill_undefined
from realwaste.runtime import inference_engine, resume
from realwaste.runtime.determinism import make_repeatable
from realwaste.training import finetune, samples, training_loop
from realwaste.training.cnn_recipe import CnnRecipe
from realwaste.training.finetune import HeadTrainer, Parts
from realwaste.training.samples import Samples
from stages.launcher import dependencies

if TYPE_CHECKING:
    from stages.launcher.params import Params

RAW = Path("data/raw")


def of(params: "Params", name: str, trainer: HeadTrainer | None, splits: pd.DataFrame, policy: str) -> dict[str, Any]:
    """`learning_curve` for the metrics of a model: its head's where it has a trainer, or the CNN's if asked for.

    Args:
        policy: the dtype policy of the CNN's trainings.
    """
    own = params.evaluate.learning_curve
    if not own.percents or (name not in registry.BACKBONES and not own.cnn):
        return {}
    tested = splits["split"] == "test"

    def curve(answer: TrainAndTest) -> dict[str, Any]:
        known, groups = labels.labels_of(splits, "train"), splits.loc[tested, "group"].to_numpy()
        return learning_curve.measure_learning_curve(
            answer, known, groups, own.percents, repeats=own.repeats, seed=params.base.seed
        )

    if trainer is not None:
        return {"learning_curve": curve(_head(name, trainer, splits))}
    work = {"parameters": params.train_cnn.model_dump(), "base": vars(params.base), "curve": vars(own)}
    with resume.progress_folder("evaluate", work | {"precision": policy}, dependencies.files("evaluate")) as kept:
        return {"learning_curve": curve(_cnn(params, splits, policy, kept))}


def _head(name: str, trainer: HeadTrainer, splits: pd.DataFrame) -> TrainAndTest:
    cached = embeddings.load(Path(f"data/embeddings/{name}"))
    parts, asked = finetune.vectors_of(splits, cached), cached.select(labels.paths_of(splits, "test"))

    def answer(rows: Rows, seed: int) -> NDArray[np.bool_]:
        # Validation images only watch: the last epoch is kept.
        own = Parts(_rows(parts.train, rows), parts.val)
        fitted, _ = trainer.fit(own, seed, silent=True)
        return _right(np.asarray(fitted(asked[:])), splits)

    return answer


def _cnn(params: "Params", splits: pd.DataFrame, policy: str, kept: Path) -> TrainAndTest:
    base = params.base
    recipe = CnnRecipe.from_params(params.train_cnn, seed=base.seed, dtype_policy=policy)
    image_size, schedule = recipe.architecture.image_size, recipe.schedule
    train, val, _ = samples.pictures(splits, RAW, image_size, recipe.cache)
    files = [RAW / path for path in labels.paths_of(splits, "test")]
    at_once = test_time_augmentation.batch_size(schedule.batch_size, recipe.test_flips)

    def answer(rows: Rows, seed: int) -> NDArray[np.bool_]:
        images = len(np.unique(rows))
        done = kept / f"{images}_{seed}.npy"
        if done.is_file():  # of a run that was killed later
            return np.asarray(np.load(done, allow_pickle=False))
        keras.utils.clear_session()
        make_repeatable(seed, deterministic=base.deterministic)
        model = cnn.build(classes=len(labels.classes_of(splits)), **vars(recipe.architecture))
        checkpoint = kept / f"training_{images}_{seed}"
        trained = training_loop.fit(
            model, _rows(train, rows), val, replace(schedule, seed=seed), checkpoint=checkpoint, silent=True
        )
        logger.debug("the CNN on %d of its images: %s", images, trained.line())
        asked = test_time_augmentation.average_views(model, recipe.test_flips)
        network = inference_engine.compile_network(asked, at_once, policy=policy, engine="tensorflow")
        batches = prefetch_batches(files, image_size, at_once)
        right = _right(np.concatenate([network(pictures) for pictures in batches]), splits)
        with atomic_replace(done) as temporary, temporary.open("wb") as file:
            np.save(file, right)
        for old in kept.glob(f"{checkpoint.name}.*"):
            old.unlink()
        return right

    return answer


def _rows(of_all: Samples, rows: Rows) -> Samples:
    return Samples(of_all.inputs[rows], of_all.labels[rows])


def _right(answers: Any, splits: pd.DataFrame) -> NDArray[np.bool_]:
    known, _ = fill_undefined(answers)
    return np.asarray(known.argmax(axis=1) == labels.labels_of(splits, "test"))
