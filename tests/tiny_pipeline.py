"""The real pipeline made tiny, as a git repository of its own: seconds a stage, and no number in it means anything.

Backbones are MobileNet at 32 px with random weights, in half the time of MobileNetV2; pictures are synthetic, six a
class, and noise in `outside/`.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import yaml

from benchmarks.parts.child import ROOT
from benchmarks.parts.workspace import copy_checkout, set_params

BIN = Path(sys.executable).parent
ORDER = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]


def make(root: Path) -> None:
    """Fill `root` with the files that git knows, or would, and tiny parameters, committed; nothing has run."""
    copy_checkout(root)
    for number, label in enumerate(("food_organics", "METAL", "shoes")):
        folder = root / "outside" / label
        folder.mkdir(parents=True)
        for index in range(2):
            pixels = np.random.default_rng(10 * number + index).integers(0, 256, (40, 40, 3), np.uint8)
            cv2.imwrite(str(folder / f"{index}.png"), pixels)
    tiny = {"backbone": "MobileNet", "weights": "random", "image_size": 32, "epochs": 2}
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
        evaluate__learning_curve={"percents": [50, 100], "repeats": 1, "cnn": True},
        shortcuts__image_size=32,
        evaluate__external=["outside"],
        base__seeds=[1, 2],
        **{f"finetune_{name}__{key}": value for name in ("irv2", "densenet") for key, value in tiny.items()},
    )
    run(root, "git", "init", "-q")
    commit(root)


def commit(root: Path) -> None:
    run(root, "git", "add", "-A")
    run(root, "git", "-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "t")


def run(root: Path, *command: str, ok: bool = True) -> str:
    """What a command in `root` says on both streams; fails unless it ends well, or badly with ok=False."""
    environment = os.environ | {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", "DVC_NO_ANALYTICS": "1"}
    done = subprocess.run(
        command, cwd=root, capture_output=True, text=True, env=environment, timeout=900, check=False, encoding="utf-8"
    )
    assert (done.returncode == 0) == ok, done.stdout + done.stderr
    return done.stdout + done.stderr


def ran(output: str) -> list[str]:
    """The stages that `dvc repro` ran."""
    return re.findall(r"Running stage '(\w+)'", output)
