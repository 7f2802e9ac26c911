"""The real pipeline with tiny parameters, in its own git repository: a stage takes seconds, its metrics mean nothing.

The backbone of irv2 and densenet is MobileNet at 32 px with random weights, which takes half the time of MobileNetV2.
The backbone of edge is a file with one convolution, which counts as pretrained. The data set has six synthetic images
for each class; the external set in `outside/` is noise.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np

from benchmarks.parts.child import ROOT
from benchmarks.parts.workspace import copy_checkout, set_params
from stages.launcher import params_file

BIN = Path(sys.executable).parent
EXTRACTOR = "extractor.keras"
CURVE = {"percents": [50, 100], "repeats": 1, "cnn": False}
ORDER = params_file.read_stages(ROOT / "dvc.yaml")


def make(root: Path) -> None:
    """Copy the files that git does not ignore to `root`, set tiny parameters, and commit. No stage runs."""
    copy_checkout(root)
    for number, label in enumerate(("food_organics", "METAL", "shoes")):
        folder = root / "outside" / label
        folder.mkdir(parents=True)
        for index in range(2):
            pixels = np.random.default_rng(10 * number + index).integers(0, 256, (40, 40, 3), np.uint8)
            cv2.imwrite(str(folder / f"{index}.png"), pixels)
    save_extractor(root / EXTRACTOR)
    tiny_backbone = {"backbone": "MobileNet", "weights": "random", "image_size": 32, "epochs": 2}
    set_params(
        root,
        fetch__source="synthetic",
        fetch__synthetic_images_per_class=6,
        train_cnn__image_size=32,
        train_cnn__epochs=2,
        lr_sweep__epochs=1,
        lr_sweep__learning_rates=[0.001, 0.01],
        evaluate__latency_repeats=1,
        evaluate__folds=2,
        evaluate__fold_repeats=1,
        evaluate__learning_curve=CURVE,
        shortcuts__image_size=32,
        evaluate__external=["outside"],
        plots__dpi=30,
        base__seeds=[1, 2],
        **{f"finetune_{name}__{key}": value for name in ("irv2", "densenet") for key, value in tiny_backbone.items()},
        finetune_edge__backbone=EXTRACTOR,
        finetune_edge__image_size=32,
        finetune_edge__epochs=2,
    )
    run(root, "git", "init", "-q")
    commit(root)


def save_extractor(path: Path) -> None:
    """Save a feature extractor of one convolution, with the same weights in every process."""
    import keras  # slow to import, and some tests that import this file need no Keras

    image = keras.Input((32, 32, 3))
    initial = keras.initializers.GlorotUniform(seed=1)
    feature_maps = keras.layers.Conv2D(16, 4, strides=4, activation="relu", kernel_initializer=initial, name="conv")(
        keras.layers.Rescaling(1 / 255)(image)
    )
    keras.Model(image, feature_maps).save(path)


def commit(root: Path) -> None:
    run(root, "git", "add", "-A")
    run(root, "git", "-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "t")


def run(root: Path, *command: str, ok: bool = True) -> str:
    """Run a command in `root`. Returns stdout and stderr. The command must succeed, or must fail with ok=False."""
    environment = os.environ | {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", "DVC_NO_ANALYTICS": "1"}
    result = subprocess.run(
        command, cwd=root, capture_output=True, text=True, env=environment, timeout=900, check=False, encoding="utf-8"
    )
    assert (result.returncode == 0) == ok, result.stdout + result.stderr
    return result.stdout + result.stderr


def ran(output: str) -> list[str]:
    """Parse the names of the stages that `dvc repro` ran; embed@irv2 becomes embed_irv2."""
    return [name.replace("@", "_") for name in re.findall(r"Running stage '([\w@]+)'", output)]
