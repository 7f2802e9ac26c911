"""The layer table of a classifier has the numbers of the report, section 1.7, and of the papers on the backbones."""

import keras
import pytest
from keras import layers

from realwaste.images.augment import Augment
from realwaste.models import cnn, feature_extractor, layer_table, test_time_augmentation
from realwaste.training import head


def _build_layer_table(backbone: str, size: int):
    backbone_model = feature_extractor.build(backbone, size, None, seed=0)
    classifier = head.join(backbone_model, head.build(backbone_model.output_shape[-1], 128, 9))
    table = layer_table.describe(classifier).table()
    assert table["parameters"].sum() == classifier.count_params()
    assert table["trained_parameters"].sum() == table["parameters"].tail(2).sum()
    assert table["block"].tolist()[-2:] == ["Dense", "Dense"]
    return table.set_index("block")


def test_the_layer_table_of_the_cnn_has_the_numbers_of_the_report():
    """Section 1.7 and the summary in listing 5: 33.6 M parameters for nine classes, 33.5 M of them in one layer."""
    summary = layer_table.describe(cnn.build(256, 9, batch_norm_momentum=0.9))
    table = summary.table()
    block = ["Conv2D", "BatchNormalization", "ReLU", "MaxPooling2D"]
    assert table["block"].tolist() == [*block, *block, "Flatten", "Dense", "Dense", "Dense"]
    assert table["parameters"].sum() == 33_583_177
    assert table["parameters"].max() == table["parameters"][9] == 262_144 * 128 + 128
    assert table["output"].tolist()[::4] == ["256 × 256 × 32", "128 × 128 × 64", "262144"]
    # Output positions times weights of a kernel: 3 x 3 x 3 x 32 at 256 x 256, 3 x 3 x 32 x 64 at 128 x 128.
    assert table["multiply_adds"].tolist()[:5] == [65_536 * 864, 0, 0, 0, 16_384 * 18_432]
    assert table["multiply_adds"].tolist()[8:] == [0, 262_144 * 128, 128 * 64, 64 * 9]
    assert summary.costs() == {
        "parameters": 33_583_177,
        "trainable_parameters": 33_583_177 - 192,
        "layers": 12,
        "trained_layers": 7,
        "multiply_adds": 392_176_192,
    }


def test_augmentation_and_test_time_views_do_not_change_the_layer_table():
    model = cnn.build(32, 3, batch_norm_momentum=0.9, augment=Augment(flip=True, rotate=0.1))
    plain = layer_table.describe(cnn.build(32, 3, batch_norm_momentum=0.9))
    averaged = test_time_augmentation.average_views(model, "both")
    assert layer_table.describe(model) == layer_table.describe(averaged) == plain


def test_densenet121_is_grouped_into_stem_dense_blocks_and_transitions():
    """Huang et al. (2017), table 1. At 224 pixels it has 2.83 G multiply-adds."""
    table = _build_layer_table("DenseNet121", 224)
    assert table.index.tolist()[:-2] == [
        "Stem",
        *(name for n in (1, 2, 3) for name in (f"Dense block {n}", f"Transition {n}")),
        "Dense block 4",
        "Last normalization",
        "Global average pooling",
    ]
    assert [table["units"][f"Dense block {n}"] for n in (1, 2, 3, 4)] == [6, 12, 24, 16]
    assert table["output"][:8].tolist()[1::2] == ["56 × 56 × 256", "28 × 28 × 512", "14 × 14 × 1024", "7 × 7 × 1024"]
    assert table["multiply_adds"]["Stem"] == 112 * 112 * 7 * 7 * 3 * 64
    assert table["multiply_adds"].sum() == pytest.approx(2.83e9, rel=0.01)


def test_inception_resnet_v2_is_grouped_into_stem_blocks_and_reductions():
    """Szegedy et al. (2017), fig. 15. At 299 pixels it has 13.2 G multiply-adds."""
    table = _build_layer_table("InceptionResNetV2", 299)
    blocks_of = {"Inception-ResNet-A": 10, "Reduction-A": 1, "Inception-ResNet-B": 20, "Reduction-B": 1}
    assert table["units"].to_dict() | blocks_of | {"Inception-ResNet-C": 10, "Stem": 1} == table["units"].to_dict()
    sides = {"Stem": "35 × 35 × 192", "Reduction-A": "17 × 17 × 1088", "Reduction-B": "8 × 8 × 2080"}
    assert {name: table["output"][name] for name in sides} == sides
    assert table["multiply_adds"].sum() == pytest.approx(13.2e9, rel=0.01)


@pytest.mark.parametrize("name", ["MobileNetV2", "MobileNetV3Small", "EfficientNetB0"])
def test_other_backbones_are_grouped_by_the_size_of_their_feature_maps(name):
    table = _build_layer_table(name, 64)
    sides = [output.split(" × ")[0] for output in table["output"][:-3]]
    assert sides == ["32", "16", "8", "4", "2"]
    assert all(block.startswith("From ") for block in table.index[:5])
    assert table.index[5] == layer_table.POOLING


def test_multiply_adds_of_depthwise_convolutions_count_each_channel_once():
    """At 224 pixels MobileNetV2 has 300 M (Sandler et al., 2018, table 4)."""
    assert _build_layer_table("MobileNetV2", 224)["multiply_adds"].sum() == pytest.approx(300e6, rel=0.01)


def test_a_backbone_of_variable_input_size_is_described_at_the_size_in_use(tmp_path):
    image = keras.Input((None, None, 3))
    maps = layers.Conv2D(8, 3, strides=2, padding="same")(image)
    keras.Model(image, layers.SeparableConv2D(16, 3, padding="same", use_bias=False)(maps)).save(tmp_path / "e.keras")
    table = _build_layer_table(str(tmp_path / "e.keras"), 32)
    assert table["output"].tolist()[0] == "16 × 16 × 16"
    assert table["multiply_adds"].tolist()[0] == 256 * (27 * 8 + 9 * 8 + 8 * 16)
