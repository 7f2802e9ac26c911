"""Predictions from cached vectors equal those from pictures, so a frozen backbone needs to run only once."""

import keras
import lively
import numpy as np
import pytest

from realwaste.core.errors import UserError
from realwaste.embedding import embeddings, extraction
from realwaste.models import layer_table, model_file, session
from realwaste.models.model_file import Classifier, ModelMetadata
from realwaste.runtime.inference_engine import compile_network
from realwaste.training import head


@pytest.fixture(scope="module")
def extractor():
    return lively.extractor("MobileNet", 64)


@pytest.fixture
def photos(images):
    root = images(glass=4, metal=3)
    return root, sorted(path.relative_to(root).as_posix() for path in root.rglob("*.jpg"))


def _compile(model, batch_size, policy="float32", engine="openvino"):
    return compile_network(model, batch_size, policy=policy, engine=engine)


@pytest.mark.parametrize(("policy", "engine"), [("float32", "tensorflow"), ("mixed_bfloat16", "openvino")])
def test_cached_vectors_and_pictures_give_the_same_predictions(policy, engine, extractor, photos, tmp_path):
    """The pipeline tests the head on cached vectors; users give pictures to the saved model, in the same precision."""
    root, paths = photos
    vectors = extraction.embed(_compile(extractor, 2, policy, engine), root, paths, image_size=64)
    keras.utils.set_random_seed(1)
    random_head = lively.head_of(extractor, 2)
    metadata = ModelMetadata("irv2", ("glass", "metal"), 64, "drawn", "MobileNet", "random", precision=policy)
    model_file.save(tmp_path / "whole.keras", Classifier(head.join(extractor, random_head), metadata))
    classifier_session = session.open_session(tmp_path / "whole.keras", inference=engine, batch_size=2)
    files = [root / path for path in paths]
    probabilities_from_vectors, _ = classifier_session.predict_files(files, vectors.select(paths))
    probabilities_from_pictures, _ = classifier_session.predict_files(files)
    assert np.ptp(probabilities_from_vectors, axis=0).max() > 0.02, "equal predictions would prove nothing"
    np.testing.assert_array_equal(probabilities_from_vectors, probabilities_from_pictures)
    summary = model_file.read_architecture(tmp_path / "whole.keras")
    assert summary is not None
    assert summary.costs()["trainable_parameters"] == 1024 * 16 + 16 + 16 * 2 + 2
    assert summary.accepts_cached_vectors
    assert summary == layer_table.describe(model_file.load(tmp_path / "whole.keras").model)
    single_image_session = session.open_session(tmp_path / "whole.keras", inference=engine, batch_size=1)
    assert single_image_session.measure_latency(files[0], 2) > 0


def test_vectors_do_not_depend_on_the_batch_size_and_are_selected_by_path(extractor, photos):
    root, paths = photos
    one_batch, batches_of_two = (
        extraction.embed(_compile(extractor, batch_size), root, paths, image_size=64) for batch_size in (16, 2)
    )
    np.testing.assert_allclose(one_batch.vectors, batches_of_two.vectors, atol=1e-5)
    np.testing.assert_array_equal(batches_of_two.select(paths[::-1]), batches_of_two.vectors[::-1])


def test_selecting_an_unknown_path_raises_key_error():
    with pytest.raises(KeyError):
        embeddings.Embeddings(np.array(["a"]), np.zeros((1, 2), np.float32)).select(["b"])


def test_vectors_that_are_not_finite_are_refused(photos):
    root, paths = photos
    image = keras.Input((8, 8, 3))
    overflowing = keras.Model(image, keras.layers.GlobalAveragePooling2D()(keras.layers.Rescaling(1e38)(image)))
    with pytest.raises(UserError, match="finite vectors"):
        extraction.embed(_compile(overflowing, 4), root, paths, image_size=8)
