"""For evaluate: the learning curve of the CNN, its test accuracy by the number of its training images."""

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
from realwaste.evaluation import learning_curve
from realwaste.evaluation.learning_curve import Rows, TrainAndTest
from realwaste.images.reader import prefetch_batches
from realwaste.models import cnn, test_time_augmentation
from realwaste.runtime import inference_engine, resume
from realwaste.runtime.determinism import make_repeatable
from realwaste.training import samples, training_loop
from realwaste.training.cnn_recipe import CnnRecipe
from stages.launcher import dependencies

if TYPE_CHECKING:
    from stages.launcher.params import Params

RAW = Path("data/raw")


def measure(params: "Params", splits: pd.DataFrame, policy: str) -> dict[str, Any]:
    """learning_curve.measure_learning_curve of the CNN, in this dtype policy. A killed run resumes.

    Args:
        splits: with a column `group`.
    """
    section = params.evaluate.learning_curve
    work = {"parameters": params.train_cnn.model_dump(), "base": vars(params.base), "curve": vars(section)}
    with resume.progress_folder("evaluate", work | {"precision": policy}, dependencies.files("evaluate")) as folder:
        return learning_curve.measure_learning_curve(
            _train_and_test(params, splits, policy, folder),
            labels.labels_of(splits, "train"),
            splits.loc[splits["split"] == "test", "group"].to_numpy(),
            section.percents,
            repeats=section.repeats,
            seed=params.base.seed,
        )


def _train_and_test(params: "Params", splits: pd.DataFrame, policy: str, checkpoint_dir: Path) -> TrainAndTest:
    base = params.base
    recipe = CnnRecipe.from_params(params.train_cnn, seed=base.seed, dtype_policy=policy)
    image_size, schedule = recipe.architecture.image_size, recipe.schedule
    train, val, _ = samples.load_pictures(splits, RAW, image_size, recipe.cache)
    files = [RAW / path for path in labels.paths_of(splits, "test")]
    batch_size = test_time_augmentation.batch_size(schedule.batch_size, recipe.test_flips)

    def train_and_test(rows: Rows, seed: int) -> NDArray[np.bool_]:
        images = len(np.unique(rows))
        result_file = checkpoint_dir / f"{images}_{seed}.npy"
        if result_file.is_file():  # from a run that was killed later
            return np.asarray(np.load(result_file, allow_pickle=False))
        keras.utils.clear_session()
        make_repeatable(seed, deterministic=base.deterministic)
        model = cnn.build(classes=len(labels.classes_of(splits)), **vars(recipe.architecture))
        checkpoint = checkpoint_dir / f"training_{images}_{seed}"
        trained = training_loop.fit(
            model, train.take(rows), val, replace(schedule, seed=seed), checkpoint=checkpoint, silent=True
        )
        logger.debug("the CNN on %d of its images: %s", images, trained.describe())
        model = test_time_augmentation.average_views(model, recipe.test_flips)
        network = inference_engine.compile_network(model, batch_size, policy=policy, engine="tensorflow")
        batches = prefetch_batches(files, image_size, batch_size)
        is_correct = learning_curve.is_correct(np.concatenate([network(pictures) for pictures in batches]), splits)
        with atomic_replace(result_file) as temporary, temporary.open("wb") as file:
            np.save(file, is_correct)
        for old in checkpoint_dir.glob(f"{checkpoint.name}.*"):
            old.unlink()
        return is_correct

    return train_and_test
