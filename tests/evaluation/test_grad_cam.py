"""Grad-CAM heat maps of a model whose result is known, of nested models, and of weights that are NaN."""

import zipfile

import keras
import numpy as np
import pandas as pd
import pytest
from conftest import picture
from keras import layers
from scipy.special import softmax

from realwaste.core.errors import UserError
from realwaste.evaluation import gallery, grad_cam
from realwaste.images.reader import decode_image
from realwaste.models import cnn, feature_extractor, model_file
from realwaste.training import head


def _build_red_or_green_model() -> keras.Model:
    """A model of two classes, whose scores are the mean red and the mean green; its weights are set by hand."""
    image = keras.Input((32, 32, 3), dtype="uint8")
    maps = layers.Conv2D(2, 1, use_bias=False)(layers.Rescaling(1 / 255)(image))
    model = keras.Model(image, layers.Dense(2, activation="softmax")(layers.GlobalAveragePooling2D()(maps)))
    kernel = np.zeros((1, 1, 3, 2), np.float32)
    kernel[0, 0, 0, 0] = kernel[0, 0, 1, 1] = 1
    model.set_weights([kernel, np.array([[9, -9], [-9, 9]], np.float32), np.zeros(2, np.float32)])
    return model


def test_the_heat_map_is_high_where_the_class_shows():
    pixels = np.zeros((2, 32, 32, 3), np.uint8)
    pixels[:, :16, :16, 0] = 255
    pixels[:, 16:, 16:, 1] = 255
    heat = grad_cam.GradCam(_build_red_or_green_model()).heat(pixels, np.array([0, 1]))
    assert heat.shape == (2, 32, 32)
    expected = np.zeros((2, 32, 32))
    expected[0, :16, :16] = expected[1, 16:, 16:] = 1
    np.testing.assert_allclose(heat, expected, atol=1e-6)


def test_a_score_added_to_all_classes_does_not_change_the_heat_map():
    plain = _build_red_or_green_model()
    shifted = _build_red_or_green_model()
    kernel, weights, bias = shifted.get_weights()
    shifted.set_weights([kernel, weights - 100, bias])
    pixels = np.stack([picture(n, 32, 32) for n in range(4)])
    classes = np.array([0, 1, 0, 1])
    np.testing.assert_allclose(
        grad_cam.GradCam(shifted).heat(pixels, classes), grad_cam.GradCam(plain).heat(pixels, classes), atol=1e-3
    )


@pytest.mark.parametrize(
    "name",
    ["MobileNetV2", *(pytest.param(name, marks=pytest.mark.release) for name in ("DenseNet121", "EfficientNetLite0"))],
)
def test_a_model_with_a_nested_backbone_is_split_without_changing_predictions(name):
    extractor = feature_extractor.build(name, 64, None, seed=1)
    model = head.join(extractor, head.build(extractor.output_shape[-1], 8, 3))
    pixels = np.stack([picture(n, 64, 64) for n in range(3)])
    expected = model.predict_on_batch(pixels)
    cam = grad_cam.GradCam(model)
    heat = cam.heat(pixels, np.array([0, 1, 2]))
    assert heat.shape == (3, 2, 2)
    assert heat.min() >= 0
    assert heat.max() == 1
    scores = cam._to_scores(cam._to_map.predict_on_batch(pixels)).numpy()
    np.testing.assert_allclose(softmax(scores, axis=1), expected, atol=1e-5)
    np.testing.assert_array_equal(model.predict_on_batch(pixels), expected)


def test_the_cnn_has_a_heat_map_which_is_zero_if_weights_are_nan():
    model = cnn.build(32, 3, batch_norm_momentum=0.9)
    pixels = np.stack([picture(n, 32, 32) for n in range(2)])
    assert grad_cam.GradCam(model).heat(pixels, np.array([0, 2])).shape == (2, 8, 8)
    model.set_weights([np.full_like(weight, np.nan) for weight in model.get_weights()])
    assert grad_cam.GradCam(model).heat(pixels, np.array([0, 2])).tolist() == np.zeros((2, 8, 8)).tolist()


def test_pictures_of_mistakes_are_written_with_their_overlays(images, tmp_path):
    root = images(a=2, b=1)
    model = cnn.build(32, 2, batch_norm_momentum=0.9)
    metadata = model_file.ModelMetadata("cnn", ("a", "b"), 32, "x", "CNN", "trained from random")
    table = pd.DataFrame({"path": ["a/a_1.jpg", "b/b_1.jpg"], "predicted": ["b", "a"]})
    rows = gallery.write_mistakes(tmp_path, root, table, model_file.Classifier(model, metadata), 48)
    assert [row["predicted"] for row in rows] == ["b", "a"]
    for name in (row[kind] for row in rows for kind in ("picture", "overlay")):
        assert decode_image((tmp_path / name).read_bytes()).shape == (48, 48, 3)
    splits = pd.DataFrame({"path": ["a/a_2.jpg", "a/a_1.jpg", "b/b_1.jpg"], "label": ["a", "a", "b"], "split": "train"})
    chosen = gallery.select_examples(splits, 1)
    assert chosen["path"].tolist() == ["a/a_1.jpg", "b/b_1.jpg"]
    assert gallery.write_pictures(tmp_path, root, chosen, "example", 20)[1]["picture"] == "example_1.webp"


def test_a_model_file_stores_its_metadata_and_other_files_are_refused(tmp_path):
    metadata = model_file.ModelMetadata("cnn", ("a", "ü"), 32, "synthetic", "CNN", "random", origin="synthetic")
    model = cnn.build(32, 2, batch_norm_momentum=0.9)
    path = tmp_path / "m.keras"
    model_file.save(path, model_file.Classifier(model, metadata))
    loaded = model_file.load(path)
    assert loaded.metadata == model_file.read_metadata(path) == metadata
    assert "generated pictures" in (metadata.caution() or "")
    pixels = np.stack([picture(1, 32, 32)])
    np.testing.assert_array_equal(loaded.model.predict_on_batch(pixels), model.predict_on_batch(pixels))
    with pytest.raises(UserError, match="must be a model at"):
        model_file.load(tmp_path / "no.keras")
    model.save(tmp_path / "plain.keras")
    (tmp_path / "text.keras").write_text("no zip")
    with zipfile.ZipFile(tmp_path / "odd.keras", "w") as archive:
        archive.writestr("realwaste.json", '{"classes": 3}')
    for name in ("plain", "text", "odd"):
        with pytest.raises(UserError, match="that this pipeline saved"):
            model_file.load(tmp_path / f"{name}.keras")
    with zipfile.ZipFile(tmp_path / "odd2.keras", "w") as archive, zipfile.ZipFile(path) as complete:
        archive.writestr("realwaste.json", complete.read("realwaste.json"))
    with pytest.raises(UserError, match="whole Keras model"):
        model_file.load(tmp_path / "odd2.keras")
