"""The CNN, the order of its batches, and a training that repeats bit for bit or says that it diverged."""

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


def test_without_normalization_and_with_another_activation():
    model = cnn.build(16, 2, batch_norm_momentum=0.9, normalization="none", activation="tanh")
    kinds = [type(layer).__name__ for layer in model.layers]
    block = ["Conv2D", "Activation", "MaxPooling2D"]
    assert kinds == ["Rescaling", *block, *block, "Flatten", "Dense", "Dense", "Dense"]
    activations = [layer.activation.__name__ for layer in model.layers if hasattr(layer, "activation")]
    assert activations == ["linear", "tanh", "linear", "tanh", "tanh", "tanh", "softmax"]


@pytest.mark.parametrize(("optimizer", "momentum"), [("sgd", 0.0), ("sgd_momentum", 0.9)])
def test_an_optimizer_steps_by_its_formula(optimizer, momentum):
    """v = momentum v - rate g, w += v: two steps on a loss whose gradient is known."""
    twin = keras.Sequential([keras.Input((1,)), keras.layers.Dense(2, activation="softmax", use_bias=False)])
    twin.set_weights([np.zeros((1, 2), np.float32)])
    training_loop.compile_for_training(twin, Schedule(1, 1, 0.5, False, 1, optimizer=optimizer), 1)
    weight = velocity = 0.0
    for _ in range(2):
        twin.train_on_batch(np.ones((1, 1), np.float32), np.zeros(1, np.int64))
        gradient = 1 / (1 + np.exp(-2 * weight)) - 1  # of the crossentropy, softmax of (w, -w)
        velocity = momentum * velocity - 0.5 * gradient
        weight += velocity
        np.testing.assert_allclose(twin.get_weights()[0], [[weight, -weight]], atol=1e-6)


@pytest.mark.parametrize("changed", [{}, {"dtype_policy": "mixed_float16"}, {"mixup": 0.2}, {"class_weights": True}])
def test_each_step_is_traced_once(changed, monkeypatch):
    steps = []

    def count(name, step):
        def counted(model, data):
            steps.append(name)
            return step(model, data)

        return counted

    for name in ("train_step", "test_step"):
        monkeypatch.setattr(keras.Model, name, count(name, getattr(keras.Model, name)))
    schedule = replace(Schedule(2, 8, 0.001, True, 3), **changed)
    determinism.make_repeatable(schedule.seed, deterministic=True)
    model = cnn.build(16, 2, batch_norm_momentum=0.9)
    twin = MixupClassifier(model, [], alpha=0.2, seed=3) if schedule.mixup else None
    trained = training_loop.fit(model, _samples(40), _samples(10), schedule, twin=twin)
    assert sorted(steps) == ["test_step", "train_step"]
    assert list(trained.history.columns) == ["epoch", "loss", "accuracy", "val_loss", "val_accuracy"]


def _order(**changed):
    values = {"batch_size": 4, "epochs": 3, "seed": 5, "shuffle": True} | changed
    numbers = Samples(np.arange(10), np.arange(10))
    return [batch.numpy().tolist() for batch, _ in batches.shuffled(numbers, **values)]


def test_every_epoch_has_every_sample_once_in_an_order_of_its_own():
    epochs = [[number for batch in _order()[start : start + 3] for number in batch] for start in (0, 3, 6)]
    assert [sorted(epoch) for epoch in epochs] == [list(range(10))] * 3
    assert epochs[0] != epochs[1] != epochs[2]
    assert [len(batch) for batch in _order()] == [4, 4, 2] * 3


def test_the_order_depends_on_seed_and_epoch_alone():
    assert _order(start_epoch=1) == _order()[3:]
    assert _order(seed=6) != _order()


def test_the_reports_generator_kept_to_one_mixed_order():
    """Its rows had been mixed once, by train_test_split."""
    order = _order(shuffle=False)
    assert order == _order(epochs=1) * 3
    first = [number for batch in order[:3] for number in batch]
    assert sorted(first) == list(range(10)) != first
    assert _order(shuffle=False, start_epoch=1) == order[3:]


def _first_kernel_moved(optimizer=None):
    """By a training in float16 whose gradients are some 1e-8, which is 0 there."""
    keras.utils.set_random_seed(0)
    layer = keras.layers.Dense(8, activation="relu", name="first")
    model = keras.Sequential([keras.Input((4,)), layer, keras.layers.Dense(2, activation="softmax")])
    twin = fused_layers.fuse(model, "mixed_float16", for_training=True)
    training_loop.compile_for_training(twin, Schedule(4, 8, 0.01, False, 1, dtype_policy="mixed_float16"), 1)
    if optimizer is not None:
        twin.compile(optimizer, loss="sparse_categorical_crossentropy")
    before = twin.get_layer("first").get_weights()[0]
    rows = np.random.default_rng(0).uniform(0.5e-7, 1.5e-7, (8, 4)).astype(np.float32)
    for _ in range(4):
        twin.train_on_batch(rows, np.arange(8) % 2)
    return np.abs(twin.get_layer("first").get_weights()[0] - before).max()


def test_small_gradients_of_float16_are_scaled_before_they_vanish():
    assert _first_kernel_moved(fused_layers.Adam(0.01)) == 0
    assert _first_kernel_moved() > 1e-5


def test_training_learns_and_repeats_bit_for_bit():
    schedule = Schedule(epochs=4, batch_size=8, learning_rate=0.001, shuffle=True, seed=1)
    (first, one), (second, two) = _fit(schedule), _fit(schedule)
    assert one.history["loss"].iloc[-1] < one.history["loss"].iloc[0]
    assert list(one.history.columns) == ["epoch", *training_history.METRICS]
    assert one.history.equals(two.history)
    for ours, theirs in zip(first.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert one.summary()["diverged"] is False
    assert "diverged_epoch" not in one.summary()


def test_a_training_that_diverges_stops_and_says_when():
    _, trained = _fit(Schedule(epochs=5, batch_size=8, learning_rate=1e38, shuffle=True, seed=1))
    summary = trained.summary()
    assert summary["diverged"] is True
    assert summary["diverged_epoch"] == trained.diverged_epoch == len(trained.history) < 5
    assert all(np.isfinite(value) for value in summary.values() if isinstance(value, float))


@pytest.mark.parametrize(("count", "size", "expected"), [(2850, 32, 90), (32, 32, 1), (33, 32, 2), (1, 32, 1)])
def test_steps_an_epoch(count, size, expected):
    assert batches.steps(count, size) == expected


def test_no_dataset_is_left_to_autotuning():
    samples = Samples(np.arange(10), np.arange(10))
    shuffled = batches.shuffled(samples, batch_size=4, epochs=1, seed=1, shuffle=True)
    for dataset in (shuffled, batches.ordered(samples, batch_size=4)):
        assert dataset.options().autotune.enabled is False


def test_no_model_feeds_itself_an_array():
    """Keras' predict and evaluate make a dataset of their own, with autotuning on."""
    code = "\n".join(
        path.read_text(encoding="utf-8")
        for folder in ("src", "stages")
        for path in ROOT.rglob("*.py")
        if path.is_relative_to(ROOT / folder)
    )
    assert ".predict_on_batch(" in code
    assert ".predict(" not in code
    assert ".evaluate(" not in code


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_low_precision_learns(policy):
    """That it repeats bit for bit, tests/test_resume.py shows; float16 scales its loss."""
    model, trained = _fit(Schedule(4, 8, 0.001, True, 1, dtype_policy=policy))
    assert trained.history["loss"].iloc[-1] < trained.history["loss"].iloc[0]
    assert {weight.dtype for weight in model.get_weights()} == {np.dtype(np.float32)}


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_every_option_together_repeats_and_resumes_bit_for_bit(tmp_path, policy):
    """Augmentation and dropout draw numbers, patience remembers weights, decay counts steps: all of it is state."""
    changes = Augment(flip=True, rotate=0.1, zoom=0.1, color=0.2)
    schedule = Schedule(
        *(7, 8, 0.002, True, 1, policy),
        decay="cosine",
        weight_decay=0.01,
        label_smoothing=0.1,
        class_weights=True,
        patience=3,
    )

    def run(checkpoint=None, stop=None):
        determinism.make_repeatable(1, deterministic=True)
        model = cnn.build(16, 2, batch_norm_momentum=0.9, head="gap", dropout=0.3, augment=changes)

        def live(history):
            if len(history) == stop:
                raise InterruptedError

        return model, training_loop.fit(model, _samples(40), _samples(10), schedule, checkpoint=checkpoint, live=live)

    whole, first = run()
    with pytest.raises(InterruptedError):
        run(tmp_path / "t", stop=3)
    resumed, second = run(tmp_path / "t")
    again, third = run(tmp_path / "t")
    assert first.history.equals(second.history)
    assert first.kept_epoch == second.kept_epoch == third.kept_epoch
    for ours, theirs, after in zip(whole.get_weights(), resumed.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
        np.testing.assert_array_equal(ours, after)


@pytest.mark.parametrize(
    ("option", "metrics", "epochs", "kept"),
    [
        # Two epochs after the best, of equals the first.
        ({"patience": 2}, [(0.5, loss) for loss in (3.0, 2.0, 2.5, 2.0, 9.0, 9.0)], 4, 2),
        # No early end; of equal accuracies the lowest loss, of equals the first.
        ({"keep": "best"}, [(0.5, 1.0), (0.9, 2.0), (0.9, 1.5), (0.9, 1.5), (0.8, 0.1), (0.1, 9.0)], 6, 3),
    ],
    ids=["patience", "best"],
)
def test_the_best_epoch_is_kept(option, metrics, epochs, kept, monkeypatch):
    weights, save, values = [], Checkpoint.on_epoch_end, iter(metrics)

    def on_epoch_end(self, epoch, logs=None):
        save(self, epoch, (logs or {}) | dict(zip(("val_accuracy", "val_loss"), next(values), strict=True)))
        weights.append(self.model.get_weights())

    monkeypatch.setattr(Checkpoint, "on_epoch_end", on_epoch_end)
    model, trained = _fit(Schedule(6, 8, 0.001, True, 1, **option))
    assert len(trained.history) == epochs
    assert trained.kept_epoch == trained.summary()["kept_epoch"] == kept
    assert trained.summary()["val_loss"] == metrics[kept - 1][1]
    for ours, theirs in zip(model.get_weights(), weights[kept - 1], strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_augmentation_is_at_work_in_training_alone():
    keras.utils.set_random_seed(0)
    changed = cnn.build(32, 3, batch_norm_momentum=0.9, augment=Augment(flip=True, rotate=0.2, zoom=0.2, color=0.3))
    plain = cnn.build(32, 3, batch_norm_momentum=0.9)
    changed.set_weights(plain.get_weights())
    pixels = np.stack([picture(n, 32, 32) for n in range(4)])
    np.testing.assert_array_equal(changed.predict_on_batch(pixels), plain.predict_on_batch(pixels))
    drawn = keras.Sequential(changed.layers[:5])
    before, after = drawn(pixels, training=False).numpy(), drawn(pixels, training=True).numpy()
    np.testing.assert_allclose(before, pixels / 255, atol=1e-6)
    assert np.abs(after - before).mean() > 0.02
    assert after.min() >= 0
    assert after.max() <= 1


def test_the_head_of_means_has_few_weights():
    assert cnn.build(256, 9, batch_norm_momentum=0.9, head="gap").count_params() < 40_000


def test_smoothed_loss_is_keras_and_rare_classes_count_as_much():
    probabilities = np.array([[0.7, 0.2, 0.1], [0.1, 0.1, 0.8]], np.float32)
    smoothed = training_loop.smooth_labels(0.3)
    losses = smoothed(np.array([0, 1]), keras.ops.convert_to_tensor(probabilities)).numpy()
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
def test_the_learning_rate_rises_in_the_warm_up_and_falls_along_the_cosine(decay, warmup, expected):
    rate = training_loop._learning_rate(Schedule(5, 8, 0.01, True, 1, decay=decay, warmup=warmup), steps=4)
    assert callable(rate)
    assert {step: float(rate(step)) for step in expected} == pytest.approx(expected, abs=1e-8)


def test_a_horizontal_flip_keeps_the_top_and_a_shift_moves_the_picture():
    keras.utils.set_random_seed(0)
    pixels = np.stack([picture(n, 32, 32) for n in range(8)]).astype(np.float32)
    (flip,) = augmentation.augmentation_layers(Augment(flip="horizontal"), 255)
    flipped = flip(pixels, training=True).numpy()
    is_mirrored = [np.array_equal(after, before[:, ::-1]) for after, before in zip(flipped, pixels, strict=True)]
    is_same = [np.array_equal(after, before) for after, before in zip(flipped, pixels, strict=True)]
    assert any(is_mirrored)
    assert all(one or other for one, other in zip(is_mirrored, is_same, strict=True))
    (shift,) = augmentation.augmentation_layers(Augment(shift=0.25), 255)
    assert np.abs(shift(pixels, training=True).numpy() - pixels).mean() > 2
