"""Averaged heads: their predictions, history and seeds, and their use in sessions, Grad-CAM and cross-validation."""

from dataclasses import replace

import keras
import lively
import numpy as np
import pandas as pd
import pytest
from conftest import picture

from realwaste.evaluation import grad_cam, head_cross_validation
from realwaste.images.augment import Augment
from realwaste.models import feature_split, model_file, session
from realwaste.models.model_file import Classifier, ModelMetadata
from realwaste.runtime.fused_layers import HEAD
from realwaste.training import finetune, head, training_history
from realwaste.training.finetune import HeadTrainer, TrainVal
from realwaste.training.finetune_recipe import FinetuneRecipe, HeadArchitecture, LastLayers
from realwaste.training.samples import Samples
from realwaste.training.schedule import Schedule
from realwaste.training.training_history import METRICS

ONE_HEAD = FinetuneRecipe(2, HeadArchitecture(8, dropout=0.2), Schedule(4, 8, 0.02, True, 3), deterministic=True)
THREE_HEADS = replace(ONE_HEAD, heads=3)


@pytest.fixture(scope="module")
def train_val():
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 2
    vectors = (rng.normal(size=(60, 12)) + labels[:, np.newaxis] * 0.8).astype(np.float32)
    return TrainVal(Samples(vectors[:40], labels[:40]), Samples(vectors[40:], labels[40:]))


@pytest.fixture(scope="module")
def averaged_and_single_heads(train_val):
    """The average of three heads, and the same three heads trained separately."""
    single_heads = [
        HeadTrainer(ONE_HEAD).fit(train_val, finetune.seed_of_head(7, number), silent=True) for number in range(3)
    ]
    return HeadTrainer(THREE_HEADS).fit(train_val, 7, silent=True), single_heads


def test_predictions_are_the_mean_of_separately_trained_heads(train_val, averaged_and_single_heads):
    (averaged, _), single_heads = averaged_and_single_heads
    probabilities = [model.predict_on_batch(train_val.val.inputs) for model, _ in single_heads]
    assert np.ptp(probabilities, axis=0).max() > 0.02, "equal heads would prove nothing"
    np.testing.assert_allclose(
        averaged.predict_on_batch(train_val.val.inputs), np.mean(probabilities, axis=0), atol=1e-6
    )
    assert averaged.name == HEAD
    assert averaged.count_params() == 3 * single_heads[0][0].count_params()


def test_a_reused_head_trainer_gives_the_weights_of_a_new_one(train_val):
    """Bit for bit, also after data of another size and after a diverged training."""
    trainer = HeadTrainer(ONE_HEAD)
    smaller = TrainVal(Samples(train_val.train.inputs[:25], train_val.train.labels[:25]), train_val.val)
    infinite = TrainVal(Samples(np.full_like(train_val.train.inputs, np.inf), train_val.train.labels), train_val.val)
    for vectors, seed in ((train_val, 3), (smaller, 4), (infinite, 5), (train_val, 6)):
        model, trained = trainer.fit(vectors, seed, silent=True)
        expected_model, expected = HeadTrainer(ONE_HEAD).fit(vectors, seed, silent=True)
        pd.testing.assert_frame_equal(trained.history, expected.history)
        np.testing.assert_equal(model.get_weights(), expected_model.get_weights())
        np.testing.assert_equal(trainer.fit_head(vectors.train, seed).get_weights(), expected_model.get_weights())


def test_history_is_the_mean_of_the_histories_of_the_heads(averaged_and_single_heads):
    (_, trained), single_heads = averaged_and_single_heads
    assert trained.history["epoch"].tolist() == [1, 2, 3, 4]
    expected = np.mean([training.history[METRICS] for _, training in single_heads], axis=0)
    np.testing.assert_allclose(trained.history[METRICS], expected, rtol=1e-12)
    assert (trained.kept_epoch, trained.diverged_epoch) == (4, None)


def test_seeds_of_heads_differ_between_repeats():
    """With an earlier formula, two repeats whose seeds differ by 1,000 shared a head."""
    training_seeds = (0, 1, 42, 43, 1042, 2042, 2**31 - 1)
    head_seeds = [finetune.seed_of_head(seed, number) for seed in training_seeds for number in range(100)]
    assert len(set(head_seeds)) == len(head_seeds)
    assert [finetune.seed_of_head(seed, 0) for seed in training_seeds] == list(training_seeds)
    assert max(head_seeds) < 2**32, "NumPy accepts no larger seed"


def test_history_of_averaged_heads_ends_at_the_diverged_epoch(train_val):
    diverging_recipe = replace(THREE_HEADS, schedule=replace(THREE_HEADS.schedule, learning_rate=1e30))
    _, trained = HeadTrainer(diverging_recipe).fit(train_val, 7, silent=True)
    assert trained.diverged_epoch == len(trained.history) == trained.kept_epoch
    assert trained.summary()["diverged"]


def test_saved_averaged_heads_give_the_same_predictions_for_vectors_and_pictures(tmp_path):
    extractor = lively.extractor("MobileNet", 64)
    classifier = head.join(extractor, head.average_heads([lively.head_of(extractor, 2) for _ in range(3)]))
    file = tmp_path / "m.keras"
    metadata = ModelMetadata("irv2", ("a", "b"), 64, "drawn", "MobileNet", "random")
    model_file.save(file, Classifier(classifier, metadata))
    pixels = np.stack([picture(number, 64, 64) for number in range(3)])
    classifier_session = session.open_session(file, inference="openvino", batch_size=3)
    probabilities, features = classifier_session(pixels)
    assert feature_split.accepts_cached_vectors(model_file.load(file).model)
    np.testing.assert_array_equal(classifier_session.classify(features), probabilities)
    np.testing.assert_allclose(probabilities, classifier.predict_on_batch(pixels.astype(np.float32)), atol=1e-4)


def test_grad_cam_of_three_equal_heads_equals_that_of_one_head():
    """Grad-CAM uses the scores before each softmax."""
    image = keras.Input((32, 32, 3), dtype="float32")
    pooled = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(6, 3)(image))
    backbone, single = keras.Model(image, pooled, name="backbone"), head.build(6, 8, 3)
    pixels = np.stack([picture(number, 32, 32) for number in range(2)])
    classes = np.array([0, 2])
    expected = grad_cam.GradCam(head.join(backbone, single)).heat(pixels, classes)
    assert expected.max() == 1
    averaged = head.average_heads([single, single, single])
    heat = grad_cam.GradCam(head.join(backbone, averaged)).heat(pixels, classes)
    np.testing.assert_allclose(heat, expected, atol=1e-4)


def test_saved_weights_of_averaged_heads_restore_their_predictions(train_val, averaged_and_single_heads, tmp_path):
    (averaged, _), _ = averaged_and_single_heads
    other_repeat, _ = HeadTrainer(THREE_HEADS).fit(train_val, 8, silent=True)
    expected = other_repeat.predict_on_batch(train_val.val.inputs)
    head.save_trained_weights(tmp_path / "h.npz", [other_repeat])
    loaded = head.load_each_trained(averaged, tmp_path / "h.npz")
    predictions = [model.predict_on_batch(train_val.val.inputs) for model in loaded]
    np.testing.assert_allclose(predictions, [expected], atol=1e-6)


def test_cross_validation_predicts_with_the_mean_of_the_heads(train_val):
    vectors, labels = train_val.train.inputs, train_val.train.labels
    metrics_of_one, metrics_of_three = (
        head_cross_validation.cross_validate(vectors, labels, np.arange(40), HeadTrainer(recipe), folds=4, repeats=1)
        for recipe in (ONE_HEAD, THREE_HEADS)
    )
    assert metrics_of_one != metrics_of_three
    assert metrics_of_three["accuracy_mean"] > 0.6


def test_the_last_layers_of_the_backbone_can_be_fine_tuned(tmp_path):
    rng = np.random.default_rng(0)
    labels = np.arange(16) % 2
    pixels = rng.integers(0, 256, (16, 32, 32, 3), dtype=np.uint8)

    def build_backbone():
        image = keras.Input((32, 32, 3))
        return keras.Model(image, keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(6, 3)(image)))

    vectors, pictures = Samples(build_backbone().predict_on_batch(pixels), labels), Samples(pixels, labels)
    fitted_head, first = HeadTrainer(THREE_HEADS).fit(TrainVal(vectors, vectors), 3, silent=True)
    last_layers = LastLayers(1, Schedule(2, 8, 0.001, True, 3), Augment())
    classifier, second = finetune.fit_last_layers(
        fitted_head, build_backbone(), TrainVal(pictures, pictures), last_layers, checkpoint=tmp_path / "checkpoint"
    )
    trained = training_history.join_phases(first, second)
    assert trained.history["epoch"].tolist() == [1, 2, 3, 4, 5, 6]
    assert len(classifier.trainable_weights) == 2 + 3 * 4
