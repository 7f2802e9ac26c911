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
from realwaste.training.checkpoint import Checkpoint
from realwaste.training.finetune import HeadTrainer, TrainVal
from realwaste.training.finetune_recipe import FinetuneRecipe, HeadArchitecture, LastLayers
from realwaste.training.samples import Samples
from realwaste.training.schedule import Schedule
from realwaste.training.unfreezing import unfreeze_last_layers

SIZE = 32


@pytest.fixture(scope="module")
def network():
    return feature_extractor.build("MobileNetV2", SIZE, None, seed=7)


def _backbone():
    """A small one, made as backbone.build makes them: what learns here takes milliseconds."""
    keras.utils.set_random_seed(0)
    blocks = [
        block
        for name in ("first", "second", "third")
        for block in (layers.Conv2D(8, 3, strides=2, name=name), layers.BatchNormalization(), layers.ReLU())
    ]
    network = keras.Sequential([keras.Input((SIZE, SIZE, 3)), layers.Rescaling(1 / 255), *blocks], name="network")
    image = keras.Input((SIZE, SIZE, 3), name="image")
    pooled = layers.GlobalAveragePooling2D()(network(image, training=False))
    built = keras.Model(image, layers.Activation("linear", dtype="float32")(pooled), name="backbone")
    built.trainable = False
    return built


def _trainable(model):
    return [weight.path.split("/")[-2] for weight in model.trainable_weights]


@pytest.mark.parametrize(
    ("end", "names"),
    [
        (1, ["Conv_1"]),
        (2, ["block_16_project", "Conv_1"]),
        ("Conv_1", ["Conv_1"]),
        ("block_16", ["block_16_expand", "block_16_depthwise", "block_16_project", "Conv_1"]),
        ("block_16_project_BN", ["Conv_1"]),
    ],
)
def test_a_number_or_a_name_says_where_the_end_begins_and_batch_norm_never_learns(network, end, names):
    assert unfreeze_last_layers(network, end) == len(names)
    assert _trainable(network) == names


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_frozen_batch_norm_has_a_gradient_that_a_deterministic_gpu_takes(policy):
    """TensorFlow refuses FusedBatchNormGradV3 with is_training=False there; here is no GPU, so look at the graph."""
    ours, theirs = _backbone(), _backbone()
    classifiers = [head.join(network, head.build(8, 4, 3)) for network in (ours, theirs)]
    classifiers[1].set_weights(classifiers[0].get_weights())
    for network in (ours, theirs):
        unfreeze_last_layers(network, 3)
    learning = fused_layers.fuse(classifiers[0], policy, for_training=True)
    pixels, labels = np.random.default_rng(0).integers(0, 256, (4, SIZE, SIZE, 3), np.uint8), np.array([0, 1, 2, 0])
    training_loop.compile_for_training(learning, Schedule(1, 4, 0.001, True, 1), 1)
    graph = tf.function(learning.train_step).get_concrete_function((tf.constant(pixels), tf.constant(labels))).graph
    whole = graph.as_graph_def()
    nodes = [*whole.node, *(node for function in whole.library.function for node in function.node_def)]
    assert any(node.op == "FusedBatchNormV3" for node in nodes)
    assert not [node.name for node in nodes if node.op == "FusedBatchNormGradV3" and not node.attr["is_training"].b]

    def gradients(model):
        with tf.GradientTape() as tape:
            chosen = tf.gather(model(pixels, training=True), labels, batch_dims=1)
            loss = -tf.reduce_mean(tf.math.log(chosen))
        return tape.gradient(loss, [weight.value for weight in model.trainable_weights])

    near = 1e-5 if policy == "float32" else 0.05  # of the largest
    for gradient, keras_gradient in zip(gradients(learning), gradients(classifiers[1]), strict=True):
        scale = float(tf.reduce_max(tf.abs(keras_gradient))) or 1.0
        np.testing.assert_allclose(gradient, keras_gradient, atol=near * scale)


def test_all_layers_may_learn_and_not_one_more(network):
    every = unfreeze_last_layers(network, "Conv1")
    assert unfreeze_last_layers(network, every) == every == 52
    with pytest.raises(UserError, match=r"trainable weights: 52\. Received: 53"):
        unfreeze_last_layers(network, every + 1)


def test_an_unknown_name_is_told_what_there_is(network):
    with pytest.raises(UserError, match=r"(?s)Received: 'block_61'.*block_16_\w+"):
        unfreeze_last_layers(network, "block_61")


@pytest.fixture(scope="module")
def parts():
    """Pictures whose left or right half is bright, and their vectors."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 24)
    pixels = rng.integers(0, 120, (24, SIZE, SIZE, 3)).astype(np.uint8)
    for picture, label in zip(pixels, labels, strict=True):
        picture[:, slice(0, 16) if label else slice(16, 32)] += 120
    vectors = _backbone().predict_on_batch(pixels)
    cut = [slice(0, 16), slice(16, 24)]
    return (
        TrainVal(*(Samples(vectors[part], labels[part]) for part in cut)),
        TrainVal(*(Samples(pixels[part], labels[part]) for part in cut)),
    )


FIRST = Schedule(3, 8, 0.001, True, 1)


def _fit(parts, *, epochs=3, policy="float32", checkpoint=None, seed=1):
    vectors, pictures = parts
    determinism.make_repeatable(seed, deterministic=True)
    network = _backbone()
    classifier, first = HeadTrainer(FinetuneRecipe(2, HeadArchitecture(8), FIRST, True)).fit(vectors, seed)
    second = Schedule(epochs, 8, 0.0005, True, seed, policy)
    last_layers = LastLayers("second", second, Augment(flip=True, color=0.2))
    whole, trained = finetune.fit_last_layers(classifier, network, pictures, last_layers, checkpoint=checkpoint)
    return whole, training_history.join_phases(first, trained)


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_the_end_and_the_head_learn_and_nothing_else_changes(parts, policy, tmp_path):
    whole, trained = _fit(parts, policy=policy)
    network = whole.get_layer("backbone")
    pairs = zip(network.weights, _backbone().weights, strict=True)
    changed = [weight.path for weight, before in pairs if not np.array_equal(weight.numpy(), before.numpy())]
    assert changed == [weight.path for weight in network.trainable_weights]
    assert len(changed) == 4
    assert trained.history["epoch"].tolist() == [1, 2, 3, 4, 5, 6]
    assert trained.history.loc[5, "loss"] < trained.history.loc[3, "loss"]
    # The model that is saved has no layer that draws numbers, and answers as the one in memory does.
    whole.save(tmp_path / "w.keras")
    loaded = keras.saving.load_model(tmp_path / "w.keras", compile=False, safe_mode=True)
    assert not [layer for layer in loaded.layers if "random" in layer.name]
    pixels = parts[1].val.inputs
    np.testing.assert_allclose(loaded.predict_on_batch(pixels), whole.predict_on_batch(pixels), atol=1e-6)
    assert len(loaded.trainable_weights) == len(whole.trainable_weights) == 4 + 4


def test_it_repeats_and_goes_on_from_a_kept_epoch_bit_for_bit(parts, tmp_path):
    undisturbed, trained = _fit(parts)
    _fit(parts, epochs=2, checkpoint=tmp_path / "kept")
    resumed, again = _fit(parts, epochs=3, checkpoint=tmp_path / "kept")
    assert again.history.equals(trained.history)
    for ours, theirs in zip(resumed.get_weights(), undisturbed.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_the_epochs_of_both_phases_are_one_history(parts):
    _, trained = _fit(parts, epochs=2)
    assert len(trained.history) == trained.kept_epoch == 5
    assert trained.summary()["epochs"] == 5
    broken = training_history.Training(trained.history.head(2), 2, 1.0, 2)
    assert training_history.join_phases(broken, trained).diverged_epoch == 2
    assert training_history.join_phases(trained, broken).diverged_epoch == 7


def test_repeats_hold_what_was_learned_and_no_more(parts, tmp_path):
    first, second = (_fit(parts, epochs=1, seed=seed)[0] for seed in (1, 2))
    head.save_trained_weights(tmp_path / "w.npz", [first, second])
    pixels = parts[1].val.inputs
    again = keras.models.clone_model(first)
    again.set_weights(first.get_weights())
    before = again.predict_on_batch(pixels)
    predictions = [model.predict_on_batch(pixels) for model in head.load_each_trained(again, tmp_path / "w.npz")]
    np.testing.assert_array_equal(again.predict_on_batch(pixels), before)
    np.testing.assert_allclose(predictions[0], first.predict_on_batch(pixels), atol=1e-6)
    np.testing.assert_allclose(predictions[1], second.predict_on_batch(pixels), atol=1e-6)


def test_the_twin_trains_the_same_part_and_answers_in_float32(parts):
    whole, _ = _fit(parts, epochs=1)
    twin = fused_layers.fuse(whole, "mixed_bfloat16")
    assert [weight.shape for weight in twin.trainable_weights] == [weight.shape for weight in whole.trainable_weights]
    assert twin(parts[1].val.inputs[:2]).dtype == "float32"
    assert twin.get_layer("head").layers[-1].compute_dtype == "float32"


WHOLE = Schedule(
    *(3, 8, 0.002, True, 1),
    decay="cosine",
    warmup=0.2,
    weight_decay=0.01,
    label_smoothing=0.1,
    mixup=0.4,
    keep="best",
)


def _fit_whole(parts, checkpoint=None, *, stop=None, policy="float32", **changes):
    """The second phase with all layers, all options and trained batch normalisation."""
    determinism.make_repeatable(1, deterministic=True)
    schedule = replace(WHOLE, dtype_policy=policy, **changes)
    augment = Augment("horizontal", rotate=0.02, zoom=0.1, color=0.2, shift=0.1)
    fitted, network = head.build(8, 4, 2, 0.2), _backbone()
    with pytest.MonkeyPatch.context() as patch:
        if stop:
            save = Checkpoint.on_epoch_end

            def interrupt(self, epoch, logs=None):
                save(self, epoch, logs)
                if len(self.rows) == stop:
                    raise InterruptedError

            patch.setattr(Checkpoint, "on_epoch_end", interrupt)
        last_layers = LastLayers("all", schedule, augment, batch_norm="train")
        return finetune.fit_last_layers(fitted, network, parts[1], last_layers, checkpoint=checkpoint)


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_the_whole_backbone_learns_with_its_statistics_and_resumes_bit_for_bit(parts, policy, tmp_path):
    whole, trained = _fit_whole(parts, policy=policy)
    learned = zip(whole.get_layer("backbone").weights, _backbone().weights, strict=True)
    # A bias before a batch normalisation has no effect: the normalisation subtracts it again.
    same = [now.path for now, before in learned if np.array_equal(now.numpy(), before.numpy())]
    assert not [path for path in same if not path.endswith("bias")]
    with pytest.raises(InterruptedError):
        _fit_whole(parts, tmp_path / "t", stop=2, policy=policy)
    resumed, again = _fit_whole(parts, tmp_path / "t", policy=policy)
    assert again.history.equals(trained.history)
    assert again.kept_epoch == trained.kept_epoch
    for ours, theirs in zip(resumed.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    # Predictions use the moving statistics, whatever the other pictures are.
    pixels = parts[1].val.inputs
    together = whole.predict_on_batch(pixels)
    np.testing.assert_allclose(whole.predict_on_batch(pixels[:1]), together[:1], atol=1e-5)


def test_a_run_with_another_seed_keeps_its_own_statistics(parts, tmp_path):
    first, second = (_fit_whole(parts, epochs=1, seed=seed)[0] for seed in (1, 2))
    head.save_trained_weights(tmp_path / "w.npz", [second])
    pixels = parts[1].val.inputs
    (predictions,) = [model.predict_on_batch(pixels) for model in head.load_each_trained(first, tmp_path / "w.npz")]
    np.testing.assert_array_equal(predictions, second.predict_on_batch(pixels))


def test_batch_norm_learns_from_the_first_trained_layer_on(network):
    assert unfreeze_last_layers(network, "all", batch_norm="train") == 52
    assert len(_trainable(network)) == 52 + 2 * 52
    assert unfreeze_last_layers(network, "block_16_project", batch_norm="train") == 2
    assert _trainable(network) == ["block_16_project", *["block_16_project_BN"] * 2, "Conv_1", *["Conv_1_bn"] * 2]
    assert unfreeze_last_layers(network, 1, batch_norm="train") == 1
    assert _trainable(network) == ["Conv_1", *["Conv_1_bn"] * 2]


def test_mixup_mixes_pictures_and_labels_by_the_same_shares(monkeypatch):
    image = keras.Input((2, 2, 3))
    classifier = keras.Model(image, layers.Dense(3, activation="softmax")(layers.Flatten()(image)))
    mixing = mixup.MixupClassifier(classifier, [layers.Rescaling(1 / 255)], alpha=0.5, seed=3)
    training_loop.compile_for_training(mixing, Schedule(1, 4, 0.01, True, 3, mixup=0.5), 1)
    batches = []
    monkeypatch.setattr(keras.Model, "train_step", lambda _, batch: batches.append(batch))
    pictures, labels = np.random.default_rng(0).integers(0, 256, (4, 2, 2, 3), np.uint8), np.array([2, 0, 1, 1])
    mixing.train_step((tf.constant(pictures), tf.constant(labels)))
    ((mixed, targets),) = batches
    share = mixup.draw_shares(4, 0.5, 3, 0).numpy()[:, np.newaxis]
    once = np.eye(3)[labels]
    np.testing.assert_allclose(targets, share * once + (1 - share) * np.roll(once, -1, axis=0), atol=1e-6)
    values, share = pictures / 255, share[..., np.newaxis, np.newaxis]
    np.testing.assert_allclose(mixed, share * values + (1 - share) * np.roll(values, -1, axis=0), atol=1e-6)


def test_shares_follow_the_beta_distribution_and_depend_on_seed_and_step():
    for alpha in (0.01, 0.2, 1.0):
        shares = mixup.draw_shares(20_000, alpha, 1, 5).numpy()
        drawn = np.random.default_rng(0).beta(alpha, alpha, 20_000)
        assert shares.min() >= 0.5
        assert shares.mean() == pytest.approx(np.maximum(drawn, 1 - drawn).mean(), abs=0.005)
    first = mixup.draw_shares(8, 0.2, 1, 5)
    np.testing.assert_array_equal(first, mixup.draw_shares(8, 0.2, 1, 5))
    assert not np.array_equal(first, mixup.draw_shares(8, 0.2, 1, 6))
    assert not np.array_equal(first, mixup.draw_shares(8, 0.2, 2, 5))
