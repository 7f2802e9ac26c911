"""The second phase of fine-tuning: the layers that it trains, reproducibility, resuming, saved repeats and mixup."""

from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from realwaste.core.errors import UserError
from realwaste.images.augment import Augment
from realwaste.models import feature_extractor
from realwaste.runtime import determinism, fused_layers
from realwaste.training import finetune, head, mixup, training_history, training_loop
from realwaste.training.finetune import HeadTrainer, TrainVal
from realwaste.training.finetune_recipe import FinetuneRecipe, HeadArchitecture, LastLayers
from realwaste.training.samples import Samples
from realwaste.training.schedule import Schedule
from realwaste.training.unfreezing import unfreeze_last_layers

SIZE = 32


@pytest.fixture(scope="module")
def mobilenet():
    return feature_extractor.build("MobileNetV2", SIZE, None, seed=7)


def _build_backbone():
    """A small backbone with the structure of feature_extractor.build; it trains in milliseconds."""
    keras.utils.set_random_seed(0)
    blocks = [
        block
        for name in ("first", "second", "third")
        for block in (layers.Conv2D(8, 3, strides=2, name=name), layers.BatchNormalization(), layers.ReLU())
    ]
    network = keras.Sequential([keras.Input((SIZE, SIZE, 3)), layers.Rescaling(1 / 255), *blocks], name="network")
    image = keras.Input((SIZE, SIZE, 3), name="image")
    pooled = layers.GlobalAveragePooling2D()(network(image, training=False))
    backbone = keras.Model(image, layers.Activation("linear", dtype="float32")(pooled), name="backbone")
    backbone.trainable = False
    return backbone


def _list_trainable(model):
    """The name of the layer of each trainable weight."""
    return [weight.path.split("/")[-2] for weight in model.trainable_weights]


@pytest.mark.parametrize(
    ("last_layers", "expected"),
    [
        (1, ["Conv_1"]),
        (2, ["block_16_project", "Conv_1"]),
        ("Conv_1", ["Conv_1"]),
        ("block_16", ["block_16_expand", "block_16_depthwise", "block_16_project", "Conv_1"]),
        ("block_16_project_BN", ["Conv_1"]),
    ],
)
def test_last_layers_are_selected_by_number_or_name_and_exclude_batch_norm(mobilenet, last_layers, expected):
    assert unfreeze_last_layers(mobilenet, last_layers) == len(expected)
    assert _list_trainable(mobilenet) == expected


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_the_gradient_of_frozen_batch_norm_is_supported_by_a_deterministic_gpu(policy):
    """On a GPU, deterministic TensorFlow refuses FusedBatchNormGradV3 with is_training=False.

    Tests have no GPU, so this one searches the graph for that operation.
    """
    backbones = [_build_backbone() for _ in range(2)]
    classifiers = [head.join(backbone, head.build(8, 4, 3)) for backbone in backbones]
    classifiers[1].set_weights(classifiers[0].get_weights())
    for backbone in backbones:
        unfreeze_last_layers(backbone, 3)
    training_copy = fused_layers.fuse(classifiers[0], policy, for_training=True)
    pixels, labels = np.random.default_rng(0).integers(0, 256, (4, SIZE, SIZE, 3), np.uint8), np.array([0, 1, 2, 0])
    training_loop.compile_for_training(training_copy, Schedule(1, 4, 0.001, True, 1), 1)
    step = tf.function(training_copy.train_step).get_concrete_function((tf.constant(pixels), tf.constant(labels)))
    graph_def = step.graph.as_graph_def()
    nodes = [*graph_def.node, *(node for function in graph_def.library.function for node in function.node_def)]
    assert any(node.op == "FusedBatchNormV3" for node in nodes)
    assert not [node.name for node in nodes if node.op == "FusedBatchNormGradV3" and not node.attr["is_training"].b]

    def gradients(model):
        with tf.GradientTape() as tape:
            probabilities = tf.gather(model(pixels, training=True), labels, batch_dims=1)
            loss = -tf.reduce_mean(tf.math.log(probabilities))
        return tape.gradient(loss, [weight.value for weight in model.trainable_weights])

    tolerance = 1e-5 if policy == "float32" else 0.05  # relative to the largest gradient
    for gradient, keras_gradient in zip(gradients(training_copy), gradients(classifiers[1]), strict=True):
        scale = float(tf.reduce_max(tf.abs(keras_gradient))) or 1.0
        np.testing.assert_allclose(gradient, keras_gradient, atol=tolerance * scale)


def test_unfreeze_all_trains_every_layer_and_a_larger_number_is_refused(mobilenet):
    layer_count = unfreeze_last_layers(mobilenet, "Conv1")
    assert unfreeze_last_layers(mobilenet, layer_count) == layer_count == 52
    with pytest.raises(UserError, match=r"trainable weights: 52\. Received: 53"):
        unfreeze_last_layers(mobilenet, layer_count + 1)


def test_an_unknown_layer_name_is_refused_with_suggestions(mobilenet):
    with pytest.raises(UserError, match=r"(?s)Received: 'block_61'.*block_16_\w+"):
        unfreeze_last_layers(mobilenet, "block_61")


@pytest.fixture(scope="module")
def data():
    """Vectors of pictures whose left or right half is bright, and the pictures."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 24)
    pixels = rng.integers(0, 120, (24, SIZE, SIZE, 3)).astype(np.uint8)
    for picture, label in zip(pixels, labels, strict=True):
        picture[:, slice(0, 16) if label else slice(16, 32)] += 120
    vectors = _build_backbone().predict_on_batch(pixels)
    splits = [slice(0, 16), slice(16, 24)]
    return (
        TrainVal(*(Samples(vectors[rows], labels[rows]) for rows in splits)),
        TrainVal(*(Samples(pixels[rows], labels[rows]) for rows in splits)),
    )


FIRST_PHASE = Schedule(3, 8, 0.001, True, 1)


def _fine_tune(data, *, epochs=3, policy="float32", checkpoint=None, seed=1):
    vectors, pictures = data
    determinism.make_repeatable(seed, deterministic=True)
    backbone = _build_backbone()
    fitted_head, first = HeadTrainer(FinetuneRecipe(2, HeadArchitecture(8), FIRST_PHASE, True)).fit(vectors, seed)
    second_schedule = Schedule(epochs, 8, 0.0005, True, seed, policy)
    last_layers = LastLayers("second", second_schedule, Augment(flip=True, color=0.2))
    classifier, second = finetune.fit_last_layers(fitted_head, backbone, pictures, last_layers, checkpoint=checkpoint)
    return classifier, training_history.join_phases(first, second)


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_fine_tuning_changes_only_the_last_layers_and_the_head(data, policy, tmp_path):
    classifier, trained = _fine_tune(data, policy=policy)
    backbone = classifier.get_layer("backbone")
    pairs = zip(backbone.weights, _build_backbone().weights, strict=True)
    changed = [weight.path for weight, before in pairs if not np.array_equal(weight.numpy(), before.numpy())]
    assert changed == [weight.path for weight in backbone.trainable_weights]
    assert len(changed) == 4
    assert trained.history["epoch"].tolist() == [1, 2, 3, 4, 5, 6]
    assert trained.history.loc[5, "loss"] < trained.history.loc[3, "loss"]
    # The saved model has no random layers and predicts as the one in memory.
    classifier.save(tmp_path / "w.keras")
    loaded = keras.saving.load_model(tmp_path / "w.keras", compile=False, safe_mode=True)
    assert not [layer for layer in loaded.layers if "random" in layer.name]
    pixels = data[1].val.inputs
    np.testing.assert_allclose(loaded.predict_on_batch(pixels), classifier.predict_on_batch(pixels), atol=1e-6)
    assert len(loaded.trainable_weights) == len(classifier.trainable_weights) == 4 + 4


def test_fine_tuning_is_reproducible_and_resumes_bit_for_bit(data, tmp_path):
    uninterrupted, trained = _fine_tune(data)
    _fine_tune(data, epochs=2, checkpoint=tmp_path / "checkpoint")
    resumed, resumed_training = _fine_tune(data, epochs=3, checkpoint=tmp_path / "checkpoint")
    assert resumed_training.history.equals(trained.history)
    np.testing.assert_equal(resumed.get_weights(), uninterrupted.get_weights())


def test_join_phases_counts_the_epochs_of_both_phases():
    first, second = (training_history.build_training([[1.0, 0.5, 1.0, 0.5]] * epochs, 1.0, epochs) for epochs in (3, 2))
    joined = training_history.join_phases(first, second)
    assert joined.history["epoch"].tolist() == [1, 2, 3, 4, 5]
    assert joined.kept_epoch == joined.summary()["epochs"] == 5
    diverged = training_history.Training(second.history, 2, 1.0, 2)
    assert training_history.join_phases(diverged, joined).diverged_epoch == 2
    assert training_history.join_phases(joined, diverged).diverged_epoch == 7


def _build_classifier(*, seed=None, unfreeze="second", batch_norm="frozen"):
    """Backbone and head with unfrozen layers; with a seed, random values stand for trained ones."""
    backbone = _build_backbone()
    unfreeze_last_layers(backbone, unfreeze, batch_norm=batch_norm)
    classifier = head.join(backbone, head.build(8, 8, 2))
    rng = np.random.default_rng(seed)
    for weight in classifier.trainable_weights if batch_norm == "frozen" else classifier.weights:
        if seed is not None:
            weight.assign(rng.uniform(0.1, 0.5, weight.shape))
    return classifier


def test_saved_weights_of_repeats_restore_their_predictions(data, tmp_path):
    first, second = (_build_classifier(seed=seed) for seed in (1, 2))
    head.save_trained_weights(tmp_path / "w.npz", [first, second])
    pixels = data[1].val.inputs
    model = keras.models.clone_model(first)
    model.set_weights(first.get_weights())
    expected = model.predict_on_batch(pixels)
    predictions = [repeat.predict_on_batch(pixels) for repeat in head.load_each_trained(model, tmp_path / "w.npz")]
    np.testing.assert_array_equal(model.predict_on_batch(pixels), expected)
    np.testing.assert_allclose(predictions[0], first.predict_on_batch(pixels), atol=1e-6)
    np.testing.assert_allclose(predictions[1], second.predict_on_batch(pixels), atol=1e-6)


def test_the_fused_twin_trains_the_same_weights_and_returns_float32(data):
    classifier = _build_classifier()
    training_copy = fused_layers.fuse(classifier, "mixed_bfloat16")
    assert [weight.shape for weight in training_copy.trainable_weights] == [
        weight.shape for weight in classifier.trainable_weights
    ]
    assert training_copy(data[1].val.inputs[:2]).dtype == "float32"
    assert training_copy.get_layer("head").layers[-1].compute_dtype == "float32"


SECOND_PHASE = Schedule(3, 8, 0.002, True, 1, "mixed_bfloat16", decay="cosine", warmup=0.2, mixup=0.4, keep="best")
ALL_OPTIONS = replace(SECOND_PHASE, weight_decay=0.01, label_smoothing=0.1)


def _fine_tune_all_layers(data, checkpoint=None, *, stop=None):
    """The second phase with all layers, all options and trained batch normalisation."""
    determinism.make_repeatable(1, deterministic=True)
    augment = Augment("horizontal", rotate=0.02, zoom=0.1, color=0.2, shift=0.1)
    new_head, backbone = head.build(8, 4, 2, 0.2), _build_backbone()
    last_layers = LastLayers("all", ALL_OPTIONS, augment, batch_norm="train")

    def interrupt(history):
        if len(history) == stop:
            raise InterruptedError

    return finetune.fit_last_layers(
        new_head, backbone, data[1], last_layers, checkpoint=checkpoint, on_epoch_end=interrupt
    )


def test_all_layers_and_batch_norm_statistics_are_trained_and_resume_bit_for_bit(data, tmp_path):
    """In bfloat16. test_fine_tuning_is_reproducible_and_resumes_bit_for_bit is in float32."""
    classifier, trained = _fine_tune_all_layers(data)
    weight_pairs = zip(classifier.get_layer("backbone").weights, _build_backbone().weights, strict=True)
    # A bias before batch normalisation has no effect, so it has no gradient: the normalisation subtracts it.
    unchanged = [weight.path for weight, before in weight_pairs if np.array_equal(weight.numpy(), before.numpy())]
    assert not [path for path in unchanged if not path.endswith("bias")]
    with pytest.raises(InterruptedError):
        _fine_tune_all_layers(data, tmp_path / "t", stop=2)
    resumed, resumed_training = _fine_tune_all_layers(data, tmp_path / "t")
    assert resumed_training.history.equals(trained.history)
    assert resumed_training.kept_epoch == trained.kept_epoch
    np.testing.assert_equal(resumed.get_weights(), classifier.get_weights())
    # Predictions use the moving statistics, so they do not depend on the other pictures of the batch.
    pixels = data[1].val.inputs
    predictions = classifier.predict_on_batch(pixels)
    np.testing.assert_allclose(classifier.predict_on_batch(pixels[:1]), predictions[:1], atol=1e-5)


def test_saved_weights_of_a_repeat_include_its_batch_norm_statistics(data, tmp_path):
    first, second = (_build_classifier(seed=seed, unfreeze="all", batch_norm="train") for seed in (1, 2))
    head.save_trained_weights(tmp_path / "w.npz", [second])
    pixels = data[1].val.inputs
    (predictions,) = [model.predict_on_batch(pixels) for model in head.load_each_trained(first, tmp_path / "w.npz")]
    np.testing.assert_array_equal(predictions, second.predict_on_batch(pixels))


def test_batch_norm_is_trained_from_the_first_unfrozen_layer_on(mobilenet):
    assert unfreeze_last_layers(mobilenet, "all", batch_norm="train") == 52
    assert len(_list_trainable(mobilenet)) == 52 + 2 * 52
    last_two = ["Conv_1", *["Conv_1_bn"] * 2]
    assert unfreeze_last_layers(mobilenet, "block_16_project", batch_norm="train") == 2
    assert _list_trainable(mobilenet) == ["block_16_project", *["block_16_project_BN"] * 2, *last_two]
    assert unfreeze_last_layers(mobilenet, 1, batch_norm="train") == 1
    assert _list_trainable(mobilenet) == last_two


def test_mixup_mixes_pictures_and_labels_by_the_same_shares(monkeypatch):
    image = keras.Input((2, 2, 3))
    classifier = keras.Model(image, layers.Dense(3, activation="softmax")(layers.Flatten()(image)))
    mixup_classifier = mixup.MixupClassifier(classifier, [layers.Rescaling(1 / 255)], alpha=0.5, seed=3)
    training_loop.compile_for_training(mixup_classifier, Schedule(1, 4, 0.01, True, 3, mixup=0.5), 1)
    trained_batches = []
    monkeypatch.setattr(keras.Model, "train_step", lambda _, batch: trained_batches.append(batch))
    pictures, labels = np.random.default_rng(0).integers(0, 256, (4, 2, 2, 3), np.uint8), np.array([2, 0, 1, 1])
    mixup_classifier.train_step((tf.constant(pictures), tf.constant(labels)))
    ((mixed, targets),) = trained_batches
    share = mixup.draw_mixing_weights(4, 0.5, 3, 0).numpy()[:, np.newaxis]
    one_hot = np.eye(3)[labels]
    np.testing.assert_allclose(targets, share * one_hot + (1 - share) * np.roll(one_hot, -1, axis=0), atol=1e-6)
    values, share = pictures / 255, share[..., np.newaxis, np.newaxis]
    np.testing.assert_allclose(mixed, share * values + (1 - share) * np.roll(values, -1, axis=0), atol=1e-6)


def test_mixup_shares_follow_the_beta_distribution_and_depend_on_seed_and_step():
    for alpha in (0.01, 0.2, 1.0):
        shares = mixup.draw_mixing_weights(20_000, alpha, 1, 5).numpy()
        reference = np.random.default_rng(0).beta(alpha, alpha, 20_000)
        assert shares.min() >= 0.5
        assert shares.mean() == pytest.approx(np.maximum(reference, 1 - reference).mean(), abs=0.005)
    first = mixup.draw_mixing_weights(8, 0.2, 1, 5)
    np.testing.assert_array_equal(first, mixup.draw_mixing_weights(8, 0.2, 1, 5))
    assert not np.array_equal(first, mixup.draw_mixing_weights(8, 0.2, 1, 6))
    assert not np.array_equal(first, mixup.draw_mixing_weights(8, 0.2, 2, 5))
