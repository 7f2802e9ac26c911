"""Several heads whose mean is the answer: each is what it is alone, and the mean goes wherever one head goes."""

from dataclasses import replace
from pathlib import Path

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

ONE = FinetuneRecipe(2, HeadArchitecture(8, dropout=0.2), Schedule(4, 8, 0.02, True, 3), deterministic=True)
THREE = replace(ONE, heads=3)


@pytest.fixture(scope="module")
def parts():
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 2
    vectors = (rng.normal(size=(60, 12)) + labels[:, np.newaxis] * 0.8).astype(np.float32)
    return TrainVal(Samples(vectors[:40], labels[:40]), Samples(vectors[40:], labels[40:]))


@pytest.fixture(scope="module")
def fitted(parts):
    """The mean of three heads, and the same three, each trained alone."""
    alone = [HeadTrainer(ONE).fit(parts, finetune.seed_of_head(7, number), silent=True) for number in range(3)]
    return HeadTrainer(THREE).fit(parts, 7, silent=True), alone


def test_the_answer_is_the_mean_of_heads_as_they_are_alone(parts, fitted):
    (mean, _), alone = fitted
    probabilities = [model.predict_on_batch(parts.val.inputs) for model, _ in alone]
    assert np.ptp(probabilities, axis=0).max() > 0.02, "heads that are all alike prove nothing"
    np.testing.assert_allclose(mean.predict_on_batch(parts.val.inputs), np.mean(probabilities, axis=0), atol=1e-6)
    assert mean.name == HEAD
    assert mean.count_params() == 3 * alone[0][0].count_params()


@pytest.mark.parametrize("recipe", [ONE, THREE], ids=["one head", "three heads"])
def test_a_trainer_fits_each_data_set_as_a_new_network_does(parts, recipe):
    """Bit for bit, after data of another size and after a training that diverged."""
    trainer = HeadTrainer(recipe)
    smaller = TrainVal(Samples(parts.train.inputs[:25], parts.train.labels[:25]), parts.val)
    infinite = TrainVal(Samples(np.full_like(parts.train.inputs, np.inf), parts.train.labels), parts.val)
    for vectors, seed in ((parts, 3), (smaller, 4), (infinite, 5), (parts, 6)):
        model, trained = trainer.fit(vectors, seed, silent=True)
        expected_model, expected = HeadTrainer(recipe).fit(vectors, seed, silent=True)
        pd.testing.assert_frame_equal(trained.history, expected.history)
        fitted_weights = model.get_weights()
        for weights in (fitted_weights, trainer.fit_head(vectors.train, seed).get_weights()):
            for weight, expected_weight in zip(weights, expected_model.get_weights(), strict=True):
                np.testing.assert_array_equal(weight, expected_weight)


def test_the_history_is_the_mean_of_theirs(fitted):
    (_, trained), alone = fitted
    assert trained.history["epoch"].tolist() == [1, 2, 3, 4]
    expected = np.mean([one.history[METRICS] for _, one in alone], axis=0)
    np.testing.assert_allclose(trained.history[METRICS], expected, rtol=1e-12)
    assert (trained.kept_epoch, trained.diverged_epoch) == (4, None)


def test_no_head_of_a_repeat_is_a_head_of_another():
    """Seeds that are 1,000 apart gave two repeats a head in common."""
    trainings = (0, 1, 42, 43, 1042, 2042, 2**31 - 1)
    seeds = [finetune.seed_of_head(seed, number) for seed in trainings for number in range(100)]
    assert len(set(seeds)) == len(seeds)
    assert [finetune.seed_of_head(seed, 0) for seed in trainings] == list(trainings)
    assert max(seeds) < 2**32, "NumPy takes no larger seed"


def test_where_one_diverges_all_have(parts):
    wild = replace(THREE, schedule=replace(THREE.schedule, learning_rate=1e30))
    _, trained = HeadTrainer(wild).fit(parts, 7, silent=True)
    assert trained.diverged_epoch == len(trained.history) == trained.kept_epoch
    assert trained.summary()["diverged"]


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_it_is_saved_and_answers_by_vectors_and_by_pictures_alike(policy, tmp_path):
    extractor = lively.extractor("MobileNet", 64)
    whole = head.join(extractor, head.average_heads([lively.head_of(extractor, 2) for _ in range(3)]))
    file = tmp_path / "m.keras"
    about = ModelMetadata("irv2", ("a", "b"), 64, "drawn", "MobileNet", "random", precision=policy)
    model_file.save(file, Classifier(whole, about))
    pixels = np.stack([picture(number, 64, 64) for number in range(3)])
    classifier_session = session.open_session(file, inference="openvino", batch_size=3)
    probabilities, features = classifier_session(pixels)
    assert feature_split.accepts_cached_vectors(model_file.load(file).model)
    np.testing.assert_array_equal(classifier_session.classify(features), probabilities)
    if policy == "float32":
        np.testing.assert_allclose(probabilities, whole.predict_on_batch(pixels.astype(np.float32)), atol=1e-4)


def test_heat_is_of_the_scores_before_each_softmax():
    image = keras.Input((32, 32, 3), dtype="float32")
    pooled = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(6, 3)(image))
    backbone, one = keras.Model(image, pooled, name="backbone"), head.build(6, 8, 3)
    pixels = np.stack([picture(number, 32, 32) for number in range(2)])
    classes = np.array([0, 2])
    plain = grad_cam.GradCam(head.join(backbone, one)).heat(pixels, classes)
    assert plain.max() == 1
    # Of three that are the same head, the heat is that of one.
    same = head.average_heads([one, one, one])
    np.testing.assert_allclose(grad_cam.GradCam(head.join(backbone, same)).heat(pixels, classes), plain, atol=1e-4)


def test_the_repeats_of_a_mean_come_back(parts, fitted, tmp_path):
    (mean, _), _ = fitted
    other, _ = HeadTrainer(THREE).fit(parts, 8, silent=True)
    expected = other.predict_on_batch(parts.val.inputs)
    head.save_trained_weights(tmp_path / "h.npz", [other])
    predictions = [
        model.predict_on_batch(parts.val.inputs) for model in head.load_each_trained(mean, Path(tmp_path / "h.npz"))
    ]
    np.testing.assert_allclose(predictions, [expected], atol=1e-6)


def test_folds_are_asked_of_the_mean(parts):
    vectors, labels = parts.train.inputs, parts.train.labels
    one, three = (
        head_cross_validation.cross_validate(vectors, labels, np.arange(40), HeadTrainer(recipe), folds=4, repeats=1)
        for recipe in (ONE, THREE)
    )
    assert one != three
    assert three["accuracy_mean"] > 0.6


def test_its_backbones_end_may_learn_on(tmp_path):
    rng = np.random.default_rng(0)
    labels = np.arange(16) % 2
    pixels = rng.integers(0, 256, (16, 32, 32, 3), dtype=np.uint8)

    def backbone():
        image = keras.Input((32, 32, 3))
        return keras.Model(image, keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(6, 3)(image)))

    vectors = backbone().predict_on_batch(pixels)
    samples = [Samples(inputs, labels) for inputs in (vectors, pixels)]
    vectors_parts, pictures = (TrainVal(inputs, inputs) for inputs in samples)
    fitted, first = HeadTrainer(THREE).fit(vectors_parts, 3, silent=True)
    last_layers = LastLayers(1, Schedule(2, 8, 0.001, True, 3), Augment())
    whole, second = finetune.fit_last_layers(fitted, backbone(), pictures, last_layers, checkpoint=tmp_path / "kept")
    trained = training_history.join_phases(first, second)
    assert trained.history["epoch"].tolist() == [1, 2, 3, 4, 5, 6]
    assert len(whole.trainable_weights) == 2 + 3 * 4
