"""Cached vectors and the whole model give the same answers: what makes it right to run a frozen backbone once."""

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


def _network(model, rows, policy="float32", engine="openvino"):
    return compile_network(model, rows, policy=policy, engine=engine)


@pytest.mark.parametrize("engine", ["openvino", "tensorflow"])
@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_the_head_on_vectors_and_the_saved_whole_model_agree(policy, engine, extractor, photos, tmp_path):
    """The head is tested on vectors, and the file that ships answers pictures: in the precision that it names."""
    root, paths = photos
    vectors = extraction.embed(_network(extractor, 2, policy, engine), root, paths, image_size=64)
    keras.utils.set_random_seed(1)
    classifier = lively.head_of(extractor, 2)
    about = ModelMetadata("irv2", ("glass", "metal"), 64, "drawn", "MobileNet", "random", precision=policy)
    model_file.save(tmp_path / "whole.keras", Classifier(head.join(extractor, classifier), about))
    classifier_session = session.open_session(tmp_path / "whole.keras", inference=engine, batch_size=2)
    files = [root / path for path in paths]
    (by_vectors, _), (by_pictures, _) = (
        classifier_session.predict_files(files, vectors.select(paths)),
        classifier_session.predict_files(files),
    )
    assert np.ptp(by_vectors, axis=0).max() > 0.02, "answers that are all alike prove nothing"
    np.testing.assert_array_equal(by_vectors, by_pictures)
    summary = model_file.read_architecture(tmp_path / "whole.keras")
    assert summary is not None
    assert summary.costs()["trainable_parameters"] == 1024 * 16 + 16 + 16 * 2 + 2
    assert summary.accepts_cached_vectors
    assert summary == layer_table.describe(model_file.load(tmp_path / "whole.keras").model)
    assert (
        session.open_session(tmp_path / "whole.keras", inference=engine, batch_size=1).measure_latency(files[0], 2) > 0
    )


def test_vectors_do_not_depend_on_the_batch_size_and_come_in_order(extractor, photos):
    root, paths = photos
    together, in_twos = (extraction.embed(_network(extractor, rows), root, paths, image_size=64) for rows in (16, 2))
    np.testing.assert_allclose(together.vectors, in_twos.vectors, atol=1e-5)
    backwards = paths[::-1]
    np.testing.assert_array_equal(in_twos.select(backwards), in_twos.vectors[::-1])


def test_an_unknown_path_is_not_answered_with_another_vector():
    with pytest.raises(KeyError):
        embeddings.Embeddings(np.array(["a"]), np.zeros((1, 2), np.float32)).select(["b"])


def test_vectors_that_are_not_finite_are_refused(photos):
    root, paths = photos
    image = keras.Input((8, 8, 3))
    bad = keras.Model(image, keras.layers.GlobalAveragePooling2D()(keras.layers.Rescaling(1e38)(image)))
    with pytest.raises(UserError, match="finite vectors"):
        extraction.embed(_network(bad, 4), root, paths, image_size=8)
