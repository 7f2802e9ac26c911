"""The jobs with the report's procedure, from its listings (sections 1.5 to 1.14 and 2.2 to 2.5), in Keras 3.

Every epoch reads, decodes and resizes every image, and passes it through the frozen backbone.
"""

import time
from pathlib import Path
from typing import Any

import keras
import pandas as pd
from keras import layers

from realwaste.core.files import read_csv
from realwaste.dataset.labels import PARTS


class EpochTimer(keras.callbacks.Callback):
    """Seconds of each epoch, validation included."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float] = []

    def on_epoch_begin(self, epoch: int, logs: object = None) -> None:
        self.started = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: object = None) -> None:
        self.seconds.append(time.perf_counter() - self.started)


def cnn(work: str, epochs: int, size: int = 256) -> dict[str, Any]:
    started = time.perf_counter()
    train, val, test = _generators(Path(work), size)
    keras.utils.set_random_seed(42)
    model = compiled_cnn(size, len(train.class_indices), 0.001)
    model.fit(train, validation_data=val, epochs=epochs, verbose=0)
    model.evaluate(test, verbose=0)
    return {"seconds": time.perf_counter() - started}


def sweep(work: str, epochs: int, rates: list[float], size: int = 256) -> dict[str, Any]:
    started = time.perf_counter()
    train, val, _ = _generators(Path(work), size)
    for rate in rates:
        keras.backend.clear_session()
        keras.utils.set_random_seed(42)
        compiled_cnn(size, len(train.class_indices), rate).fit(train, validation_data=val, epochs=epochs, verbose=0)
    return {"seconds": time.perf_counter() - started}


def finetune(work: str, backbone: str, epochs: int, measured_epochs: int, size: int = 524) -> dict[str, Any]:
    """Runs `measured_epochs`; the seconds of the other epochs are counted like the last one's."""
    root = Path(work)
    _link_parts(root)
    started = time.perf_counter()
    train, val, test = (
        keras.utils.image_dataset_from_directory(root / "parts" / part, image_size=(size, size), verbose=False)
        for part in PARTS
    )
    classes = len(train.class_names)
    # Random weights: they take as long as ImageNet's.
    network = getattr(keras.applications, backbone)(weights=None, include_top=False, input_shape=(size, size, 3))
    for layer in network.layers:
        layer.trainable = False
    features = layers.GlobalAveragePooling2D()(network.output)
    features = layers.Dense(128, activation="relu")(features)
    model = keras.Model(network.input, layers.Dense(classes, activation="softmax")(features))
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    timer = EpochTimer()
    model.fit(train, validation_data=val, epochs=measured_epochs, verbose=0, callbacks=[timer])
    model.evaluate(test, verbose=0)
    measured = time.perf_counter() - started
    return {"seconds": measured + (epochs - measured_epochs) * timer.seconds[-1], "measured_seconds": measured}


def _generators(root: Path, size: int) -> tuple[Any, Any, Any]:
    from tensorflow.keras.preprocessing.image import ImageDataGenerator  # noqa: PLC0415 - nowhere else in Keras 3

    splits = read_csv(root / "data/splits.csv").rename(columns={"path": "Image_Path", "label": "Class"})

    def generator(frame: pd.DataFrame) -> Any:
        return ImageDataGenerator(rescale=1.0 / 255).flow_from_dataframe(
            dataframe=frame,
            directory=str(root / "data/raw"),
            x_col="Image_Path",
            y_col="Class",
            target_size=(size, size),
            batch_size=32,
            class_mode="sparse",
            shuffle=False,
        )

    train, val, test = (generator(splits[splits["split"] == part]) for part in PARTS)
    return train, val, test


def compiled_cnn(size: int, classes: int, rate: float) -> keras.Model:
    """The report's CNN, compiled with Adam."""
    blocks = [
        layer
        for filters in (32, 64)
        for layer in (
            layers.Conv2D(filters, (3, 3), padding="same"),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.MaxPooling2D((2, 2)),
        )
    ]
    hidden = [layers.Flatten(), layers.Dense(128, activation="relu"), layers.Dense(64, activation="relu")]
    model = keras.Sequential(
        [keras.Input((size, size, 3)), *blocks, *hidden, layers.Dense(classes, activation="softmax")]
    )
    adam = keras.optimizers.Adam(learning_rate=rate)
    model.compile(optimizer=adam, loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def _link_parts(root: Path) -> None:
    """Link the images to parts/<train|val|test>/<Class>/, which the report's listing reads."""
    for row in read_csv(root / "data/splits.csv").itertuples():
        link = root / "parts" / row.split / row.path
        if not link.is_symlink():
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(root / "data/raw" / row.path)
