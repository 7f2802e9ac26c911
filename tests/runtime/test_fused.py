"""A fused copy of a model has the outputs of the Keras layers and the weights that Keras trains."""

import keras
import lively
import numpy as np
import pytest
from conftest import picture
from keras import layers

from realwaste.models import cnn, feature_extractor
from realwaste.runtime import fused_layers
from realwaste.training import batches
from realwaste.training.samples import Samples


def _draw_pictures(count: int, size: int) -> np.ndarray:
    return np.stack([picture(index, size, size) for index in range(count)])


LARGE = [
    pytest.param(name, marks=pytest.mark.release)
    for name in ("EfficientNetB0", "InceptionResNetV2", "MobileNetV2", "NASNetMobile")
]


@pytest.mark.parametrize("name", ["DenseNet121", "EfficientNetLite0", *LARGE])
def test_a_fused_backbone_gives_the_same_vectors(name):
    model = feature_extractor.build(name, 96 if name != "NASNetMobile" else 224, None, seed=1)
    lively.randomize_batch_norm(model)
    pixels = _draw_pictures(2, model.input_shape[1])
    fused = fused_layers.fuse(model, "float32")
    layer_types = {type(layer).__name__ for layer in fused._flatten_layers()}
    assert "BatchNormalization" not in layer_types
    expected = model.predict_on_batch(pixels)
    np.testing.assert_allclose(fused.predict_on_batch(pixels), expected, atol=1e-5 * np.abs(expected).max(), rtol=1e-4)


def test_low_precision_vectors_are_close_and_in_float32():
    model = feature_extractor.build("MobileNet", 64, None, seed=1)
    lively.randomize_batch_norm(model)
    pixels = _draw_pictures(3, 64)
    expected = model.predict_on_batch(pixels)
    for policy in ("mixed_bfloat16", "mixed_float16"):
        vectors = fused_layers.fuse(model, policy).predict_on_batch(pixels)
        assert vectors.dtype == np.float32
        assert 0 < np.abs(vectors - expected).max() < 0.05 * np.abs(expected).max(), policy


def test_fusing_does_not_change_the_original_model(tmp_path):
    model = feature_extractor.build("MobileNet", 64, None, seed=1)
    weights_before = [weight.copy() for weight in model.get_weights()]
    fused = fused_layers.fuse(model, "mixed_bfloat16")
    assert not fused.trainable
    assert fused.count_params() == model.count_params()
    fused.set_weights([weight + 1 for weight in fused.get_weights()])
    for weight, original in zip(model.get_weights(), weights_before, strict=True):
        np.testing.assert_array_equal(weight, original)
    model.save(tmp_path / "m.keras")
    assert keras.saving.load_model(tmp_path / "m.keras", safe_mode=True).dtype_policy.name == "float32"


def _fit(model: keras.Model, optimizer: keras.Optimizer, samples: Samples) -> list[np.ndarray]:
    model.compile(optimizer=optimizer, loss="sparse_categorical_crossentropy")
    data = batches.shuffled(samples, batch_size=8, epochs=2, seed=1, shuffle=True)
    model.fit(data, steps_per_epoch=3, epochs=2, verbose=0, shuffle=False)
    return model.get_weights()


def test_training_a_fused_cnn_equals_training_the_cnn():
    samples = Samples(_draw_pictures(24, 16), np.arange(24) % 3)
    model = cnn.build(16, 3, batch_norm_momentum=0.9)
    fused = fused_layers.fuse(model, "float32")
    assert [weight.path for weight in fused.weights] == [weight.path for weight in model.weights]
    fused_weights = _fit(fused, fused_layers.Adam(1e-3), samples)
    keras_weights = _fit(model, keras.optimizers.Adam(1e-3), samples)
    for name, weight, expected in zip([w.path for w in model.weights], fused_weights, keras_weights, strict=True):
        if name.endswith("bias") and "conv" in name:
            # The gradient of this bias is zero. Adam of Keras turns its rounding error into steps of 1e-3, which the
            # next layer subtracts again. In the fused copy such a bias does not change.
            assert not weight.any()
            continue
        np.testing.assert_allclose(weight, expected, atol=2e-3, err_msg=name)
    pixels = _draw_pictures(8, 16)
    np.testing.assert_allclose(fused.predict_on_batch(pixels), model.predict_on_batch(pixels), atol=5e-3)


def test_fused_adam_equals_keras_adam():
    start, gradients = np.linspace(-1, 1, 7, dtype=np.float32), np.array([3, -2, 1, 0, 1e-3, -1e-9, 8], np.float32)
    results = []
    for optimizer in (fused_layers.Adam(0.01), keras.optimizers.Adam(0.01)):
        variable = keras.Variable(start)
        for scale in (1, -0.5, 2):
            optimizer.apply([keras.ops.convert_to_tensor(scale * gradients)], [variable])
        results.append(keras.ops.convert_to_numpy(variable))
    np.testing.assert_allclose(results[0], results[1], rtol=1e-5, atol=1e-7)
    assert np.abs(results[0] - start).max() > 0.005


@pytest.mark.parametrize(
    ("shape", "options", "tolerance"),
    [((5,), {}, {"rtol": 1e-5}), ((4, 4, 3), {"scale": False, "center": False}, {"atol": 1e-5})],
    ids=["vectors", "maps"],
)
def test_fused_batch_norm_equals_keras(shape, options, tolerance):
    model = keras.Sequential([keras.Input(shape), layers.BatchNormalization(**options)])
    lively.randomize_batch_norm(model)
    rows = keras.random.normal((4, *shape), seed=0)
    fused = fused_layers.fuse(model, "float32")
    for training in (False, True):
        np.testing.assert_allclose(fused(rows, training=training), model(rows, training=training), **tolerance)
