"""Training of the CNN: optimizers and options, the order of batches, reproducibility, resuming and divergence."""

from dataclasses import replace

import keras
import numpy as np
import pytest
from conftest import picture

from benchmarks.parts.child import ROOT
from realwaste.images.augment import Augment
from realwaste.models import augmentation, cnn
from realwaste.runtime import determinism, fused_layers
from realwaste.training import batches, training_history, training_loop
from realwaste.training.checkpoint import Checkpoint
from realwaste.training.mixup import MixupClassifier
from realwaste.training.samples import Samples
from realwaste.training.schedule import Schedule


def _samples(count: int, size: int = 16) -> Samples:
    """Two classes that differ in brightness."""
    labels = np.arange(count) % 2
    pictures = np.stack([picture(index, size, size) // 4 + 120 * (index % 2) for index in range(count)])
    return Samples(pictures.astype(np.uint8), labels.astype(np.int64))


def _fit(schedule: Schedule) -> tuple[keras.Model, training_history.Training]:
    determinism.make_repeatable(schedule.seed, deterministic=True)
    model = cnn.build(16, 2, batch_norm_momentum=0.9)
    return model, training_loop.fit(model, _samples(40), _samples(10), schedule)


def test_cnn_without_normalization_and_with_another_activation():
    model = cnn.build(16, 2, batch_norm_momentum=0.9, normalization="none", activation="tanh")
    layer_types = [type(layer).__name__ for layer in model.layers]
    block = ["Conv2D", "Activation", "MaxPooling2D"]
    assert layer_types == ["Rescaling", *block, *block, "Flatten", "Dense", "Dense", "Dense"]
    activations = [layer.activation.__name__ for layer in model.layers if hasattr(layer, "activation")]
    assert activations == ["linear", "tanh", "linear", "tanh", "tanh", "tanh", "softmax"]


@pytest.mark.parametrize(("optimizer", "momentum"), [("sgd", 0.0), ("sgd_momentum", 0.9)])
def test_sgd_updates_the_weights_by_its_formula(optimizer, momentum):
    """v = momentum * v - rate * gradient; w += v. Two steps on a loss whose gradient is known."""
    training_copy = keras.Sequential([keras.Input((1,)), keras.layers.Dense(2, activation="softmax", use_bias=False)])
    training_copy.set_weights([np.zeros((1, 2), np.float32)])
    training_loop.compile_for_training(training_copy, Schedule(1, 1, 0.5, False, 1, optimizer=optimizer), 1)
    weight = velocity = 0.0
    for _ in range(2):
        training_copy.train_on_batch(np.ones((1, 1), np.float32), np.zeros(1, np.int64))
        gradient = 1 / (1 + np.exp(-2 * weight)) - 1  # of the cross-entropy of softmax((w, -w))
        velocity = momentum * velocity - 0.5 * gradient
        weight += velocity
        np.testing.assert_allclose(training_copy.get_weights()[0], [[weight, -weight]], atol=1e-6)


@pytest.mark.parametrize("options", [{}, {"dtype_policy": "mixed_float16"}, {"mixup": 0.2}, {"class_weights": True}])
def test_each_step_is_traced_once(options, monkeypatch):
    traced = []

    def record_traces(name, step):
        def traced_step(model, data):
            traced.append(name)
            return step(model, data)

        return traced_step

    for name in ("train_step", "test_step"):
        monkeypatch.setattr(keras.Model, name, record_traces(name, getattr(keras.Model, name)))
    schedule = replace(Schedule(2, 8, 0.001, True, 3), **options)
    determinism.make_repeatable(schedule.seed, deterministic=True)
    model = cnn.build(16, 2, batch_norm_momentum=0.9)
    training_copy = MixupClassifier(model, [], alpha=0.2, seed=3) if schedule.mixup else None
    trained = training_loop.fit(model, _samples(40), _samples(10), schedule, training_copy=training_copy)
    assert sorted(traced) == ["test_step", "train_step"]
    assert list(trained.history.columns) == ["epoch", "loss", "accuracy", "val_loss", "val_accuracy"]


def _list_batches(**options):
    options = {"batch_size": 4, "epochs": 3, "seed": 5, "shuffle": True} | options
    samples = Samples(np.arange(10), np.arange(10))
    return [batch.numpy().tolist() for batch, _ in batches.shuffled(samples, **options)]


def test_every_epoch_has_each_sample_once_in_a_new_order():
    epochs = [[number for batch in _list_batches()[start : start + 3] for number in batch] for start in (0, 3, 6)]
    assert [sorted(epoch) for epoch in epochs] == [list(range(10))] * 3
    assert epochs[0] != epochs[1] != epochs[2]
    assert [len(batch) for batch in _list_batches()] == [4, 4, 2] * 3


def test_the_order_of_samples_depends_only_on_seed_and_epoch():
    assert _list_batches(start_epoch=1) == _list_batches()[3:]
    assert _list_batches(seed=6) != _list_batches()


def test_without_shuffle_every_epoch_has_the_same_random_order():
    """As in the report, whose generator did not shuffle, but train_test_split had shuffled its rows once."""
    ordered = _list_batches(shuffle=False)
    assert ordered == _list_batches(epochs=1) * 3
    first_epoch = [number for batch in ordered[:3] for number in batch]
    assert sorted(first_epoch) == list(range(10)) != first_epoch
    assert _list_batches(shuffle=False, start_epoch=1) == ordered[3:]


def _measure_change_of_first_kernel(optimizer=None):
    """The largest change in a float16 training whose gradients, about 1e-8, underflow to 0."""
    keras.utils.set_random_seed(0)
    layer = keras.layers.Dense(8, activation="relu", name="first")
    model = keras.Sequential([keras.Input((4,)), layer, keras.layers.Dense(2, activation="softmax")])
    training_copy = fused_layers.fuse(model, "mixed_float16", for_training=True)
    training_loop.compile_for_training(training_copy, Schedule(4, 8, 0.01, False, 1, dtype_policy="mixed_float16"), 1)
    if optimizer is not None:
        training_copy.compile(optimizer, loss="sparse_categorical_crossentropy")
    before = training_copy.get_layer("first").get_weights()[0]
    rows = np.random.default_rng(0).uniform(0.5e-7, 1.5e-7, (8, 4)).astype(np.float32)
    for _ in range(4):
        training_copy.train_on_batch(rows, np.arange(8) % 2)
    return np.abs(training_copy.get_layer("first").get_weights()[0] - before).max()


def test_loss_scaling_prevents_the_underflow_of_float16_gradients():
    assert _measure_change_of_first_kernel(fused_layers.Adam(0.01)) == 0
    assert _measure_change_of_first_kernel() > 1e-5


def test_training_lowers_the_loss_and_is_reproducible_bit_for_bit():
    schedule = Schedule(epochs=4, batch_size=8, learning_rate=0.001, shuffle=True, seed=1)
    (first_model, first), (second_model, second) = _fit(schedule), _fit(schedule)
    assert first.history["loss"].iloc[-1] < first.history["loss"].iloc[0]
    assert list(first.history.columns) == ["epoch", *training_history.METRICS]
    assert first.history.equals(second.history)
    np.testing.assert_equal(first_model.get_weights(), second_model.get_weights())
    assert first.summary()["diverged"] is False
    assert "diverged_epoch" not in first.summary()


def test_a_diverging_training_stops_and_reports_the_epoch():
    _, trained = _fit(Schedule(epochs=5, batch_size=8, learning_rate=1e38, shuffle=True, seed=1))
    summary = trained.summary()
    assert summary["diverged"] is True
    assert summary["diverged_epoch"] == trained.diverged_epoch == len(trained.history) < 5
    assert all(np.isfinite(value) for value in summary.values() if isinstance(value, float))


@pytest.mark.parametrize(("count", "size", "expected"), [(2850, 32, 90), (32, 32, 1), (33, 32, 2), (1, 32, 1)])
def test_steps_per_epoch_include_the_incomplete_batch(count, size, expected):
    assert batches.steps(count, size) == expected


def test_datasets_disable_autotuning():
    samples = Samples(np.arange(10), np.arange(10))
    shuffled = batches.shuffled(samples, batch_size=4, epochs=1, seed=1, shuffle=True)
    for dataset in (shuffled, batches.ordered(samples, batch_size=4)):
        assert dataset.options().autotune.enabled is False


def test_source_code_does_not_call_predict_or_evaluate_of_keras():
    """Those methods create a dataset with autotuning."""
    files = [path for folder in ("src", "stages") for path in (ROOT / folder).rglob("*.py")]
    code = "\n".join(path.read_text(encoding="utf-8") for path in files)
    assert ".predict_on_batch(" in code
    assert ".predict(" not in code
    assert ".evaluate(" not in code


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_low_precision_training_lowers_the_loss_and_keeps_float32_weights(policy):
    """tests/runtime/test_resume.py covers that it is reproducible bit for bit."""
    model, trained = _fit(Schedule(4, 8, 0.001, True, 1, dtype_policy=policy))
    assert trained.history["loss"].iloc[-1] < trained.history["loss"].iloc[0]
    assert {weight.dtype for weight in model.get_weights()} == {np.dtype(np.float32)}


def test_training_with_all_options_is_reproducible_and_resumes_bit_for_bit(tmp_path):
    """Augmentation and dropout draw random numbers, patience stores weights, and decay counts steps: all are state.

    tests/runtime/test_resume.py resumes in low precision.
    """
    augment = Augment(flip=True, rotate=0.1, zoom=0.1, color=0.2)
    schedule = Schedule(
        *(7, 8, 0.002, True, 1),
        decay="cosine",
        weight_decay=0.01,
        label_smoothing=0.1,
        class_weights=True,
        patience=3,
    )

    def run(checkpoint=None, stop=None):
        determinism.make_repeatable(1, deterministic=True)
        model = cnn.build(16, 2, batch_norm_momentum=0.9, head="gap", dropout=0.3, augment=augment)

        def on_epoch_end(history):
            if len(history) == stop:
                raise InterruptedError

        return model, training_loop.fit(
            model, _samples(40), _samples(10), schedule, checkpoint=checkpoint, on_epoch_end=on_epoch_end
        )

    uninterrupted, first = run()
    with pytest.raises(InterruptedError):
        run(tmp_path / "t", stop=3)
    resumed, second = run(tmp_path / "t")
    finished, third = run(tmp_path / "t")
    assert first.history.equals(second.history)
    assert first.kept_epoch == second.kept_epoch == third.kept_epoch
    for model in (resumed, finished):
        np.testing.assert_equal(model.get_weights(), uninterrupted.get_weights())


@pytest.mark.parametrize(
    ("options", "metrics", "expected_length", "expected_epoch"),
    [
        # The training ends two epochs after the best one. Of equal losses, the first is the best.
        ({"patience": 2}, [(0.5, loss) for loss in (3.0, 2.0, 2.5, 2.0, 9.0, 9.0)], 4, 2),
        # The training does not end early. Of equal accuracies, the first with the lowest loss is the best.
        ({"keep": "best"}, [(0.5, 1.0), (0.9, 2.0), (0.9, 1.5), (0.9, 1.5), (0.8, 0.1), (0.1, 9.0)], 6, 3),
    ],
    ids=["patience", "best"],
)
def test_the_weights_of_the_best_epoch_are_restored(options, metrics, expected_length, expected_epoch, monkeypatch):
    weights, save, values = [], Checkpoint.on_epoch_end, iter(metrics)

    def on_epoch_end(self, epoch, logs=None):
        save(self, epoch, (logs or {}) | dict(zip(("val_accuracy", "val_loss"), next(values), strict=True)))
        weights.append(self.model.get_weights())

    monkeypatch.setattr(Checkpoint, "on_epoch_end", on_epoch_end)
    model, trained = _fit(Schedule(6, 8, 0.001, True, 1, **options))
    assert len(trained.history) == expected_length
    assert trained.kept_epoch == trained.summary()["kept_epoch"] == expected_epoch
    assert trained.summary()["val_loss"] == metrics[expected_epoch - 1][1]
    np.testing.assert_equal(model.get_weights(), weights[expected_epoch - 1])


def test_augmentation_is_active_only_in_training():
    keras.utils.set_random_seed(0)
    augmented = cnn.build(32, 3, batch_norm_momentum=0.9, augment=Augment(flip=True, rotate=0.2, zoom=0.2, color=0.3))
    plain = cnn.build(32, 3, batch_norm_momentum=0.9)
    augmented.set_weights(plain.get_weights())
    pixels = np.stack([picture(n, 32, 32) for n in range(4)])
    np.testing.assert_array_equal(augmented.predict_on_batch(pixels), plain.predict_on_batch(pixels))
    first_layers = keras.Sequential(augmented.layers[:5])
    before, after = first_layers(pixels, training=False).numpy(), first_layers(pixels, training=True).numpy()
    np.testing.assert_allclose(before, pixels / 255, atol=1e-6)
    assert np.abs(after - before).mean() > 0.02
    assert after.min() >= 0
    assert after.max() <= 1


def test_the_cnn_with_global_average_pooling_has_few_weights():
    assert cnn.build(256, 9, batch_norm_momentum=0.9, head="gap").count_params() < 40_000


def test_label_smoothing_and_class_weights_follow_their_formulas():
    probabilities = np.array([[0.7, 0.2, 0.1], [0.1, 0.1, 0.8]], np.float32)
    loss = training_loop.smooth_labels(0.3)
    losses = loss(np.array([0, 1]), keras.ops.convert_to_tensor(probabilities)).numpy()
    targets = np.eye(3)[[0, 1]] * 0.7 + 0.1
    np.testing.assert_allclose(losses, -(targets * np.log(probabilities)).sum(axis=1), rtol=1e-5)
    weights = training_loop.class_weights(np.array([0, 0, 0, 0, 1, 2]))
    assert weights == {0: 0.5, 1: 2.0, 2: 2.0}


@pytest.mark.parametrize(
    ("decay", "warmup", "expected"),
    [
        ("cosine", 0.0, {0: 0.01, 10: 0.005, 20: 0}),
        ("constant", 0.2, {0: 0, 1: 0.0025, 2: 0.005, 4: 0.01, 12: 0.01, 20: 0.01}),
        ("cosine", 0.2, {0: 0, 1: 0.0025, 2: 0.005, 4: 0.01, 12: 0.005, 20: 0}),
    ],
)
def test_the_learning_rate_follows_warmup_and_cosine_decay(decay, warmup, expected):
    rate = training_loop._learning_rate(Schedule(5, 8, 0.01, True, 1, decay=decay, warmup=warmup), steps=4)
    assert callable(rate)
    assert {step: float(rate(step)) for step in expected} == pytest.approx(expected, abs=1e-8)


def test_horizontal_flip_mirrors_left_and_right_only_and_shift_moves_the_picture():
    keras.utils.set_random_seed(0)
    pixels = np.stack([picture(n, 32, 32) for n in range(8)]).astype(np.float32)
    (flip,) = augmentation.augmentation_layers(Augment(flip="horizontal"), 255)
    flipped = flip(pixels, training=True).numpy()
    is_mirrored, is_same = ((flipped == expected).all(axis=(1, 2, 3)) for expected in (pixels[:, :, ::-1], pixels))
    assert is_mirrored.any()
    assert (is_mirrored | is_same).all()
    (shift,) = augmentation.augmentation_layers(Augment(shift=0.25), 255)
    assert np.abs(shift(pixels, training=True).numpy() - pixels).mean() > 2


def test_color_changes_the_saturation_by_up_to_its_share():
    keras.utils.set_random_seed(0)
    (jitter,) = augmentation.augmentation_layers(Augment(color=0.2), 255)
    pixels = np.tile(np.array([200, 150, 120], np.float32), (64, 4, 4, 1))
    changed = np.asarray(jitter.random_saturation(pixels, training=True))[:, 0, 0]
    ratio = (1 - changed.min(axis=1) / changed.max(axis=1)) / (1 - 120 / 200)
    assert 0.8 <= ratio.min() < 0.85
    assert 1.15 < ratio.max() <= 1.2
