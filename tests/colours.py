"""Models that classify colours with NumPy alone, and helpers for tests of the commands that need no neural network."""

import csv
import json
import os
import subprocess
import sys
import zipfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner, Result

from benchmarks.parts.child import ROOT
from realwaste.__main__ import app, main  # noqa: F401 - main for command_with_colours
from realwaste.cli import model_loading
from realwaste.models import model_file, novelty
from realwaste.models.model_file import ModelMetadata
from realwaste.models.novelty import Novelty
from realwaste.models.session import Session
from realwaste.runtime.inference_engine import Network

SIZE, ROWS = 8, 4
CLASSES = ("Blue", "Green", "Red")
RED, GREEN, BLUE, TEAL, GREY = (255, 0, 0), (0, 255, 0), (0, 0, 255), (0, 255, 245), (128, 128, 128)
"""RGB. Teal is between green and blue; grey is unlike all three."""


def save(path: Path, classes: tuple[str, ...] = CLASSES, *, with_novelty: bool = True, **metadata) -> Path:
    """Write a model file for `open_session`: it has only the metadata and, optionally, the novelty score."""
    path.parent.mkdir(parents=True, exist_ok=True)
    record = ModelMetadata(
        path.stem, classes, SIZE, **{"dataset": "colours", "backbone": "Eye", "weights": "sharp"} | metadata
    )
    train_features = np.repeat(np.eye(3, dtype=np.float16), 3, axis=0)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("realwaste.json", json.dumps(asdict(record)))
        if with_novelty:
            with archive.open("novelty.npz", "w") as member:
                novelty.save(member, Novelty(train_features, 0.35))
    return path


def open_session(path: Path, max_images: int | None = None) -> Session:
    """Open a session that classifies by the mean colour. Tests put it in place of model_loading.open_session."""
    metadata = model_file.read_metadata(path)
    extract = Network(lambda batch: batch.mean(axis=(1, 2)).astype(np.float32)[:, ::-1] / 255, ROWS, (3,))
    return Session(metadata, model_file.read_novelty(path), lambda: extract, Network(softmax, ROWS, (3,)))


def softmax(features):
    exponentials = np.exp(10 * features)
    return (exponentials / exponentials.sum(axis=1, keepdims=True)).astype(np.float32)


def photo(path: Path, colour: tuple[int, int, int], shade: int = 0) -> Path:
    """Write an image of one colour. Images with different values of `shade` differ in one pixel."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.full((12, 12, 3), colour[::-1], np.uint8)
    pixels[0, 0] = shade
    path.write_bytes(cv2.imencode(".png", pixels)[1].tobytes())
    return path


def use(monkeypatch) -> None:
    """Replace model_loading.open_session, so that commands can open these models."""
    monkeypatch.setattr(model_loading, "open_session", open_session)


def prepare(folder: Path, monkeypatch) -> Path:
    """Make `folder` the current folder, and save a model `cnn` there that commands can open."""
    use(monkeypatch)
    monkeypatch.chdir(folder)
    save(folder / "models/cnn.keras")
    return folder


def run(*arguments, status: int = 0, stdin: bytes | None = None) -> Result:
    """Run a command in this process; its exit status must be `status`."""
    result = CliRunner().invoke(app, list(map(str, arguments)), input=stdin)
    assert result.exit_code == status, (result.stderr, result.exception)
    return result


def run_json(*arguments, status: int = 0, stdin: bytes | None = None) -> Any:
    """Run a command with --json and parse its output, which must be strict JSON."""
    command, *options = arguments
    return json.loads(run(command, "--json", *options, status=status, stdin=stdin).stdout, parse_constant=pytest.fail)


def words(text: str) -> str:
    """Join the lines of a text: the width of the terminal decides where they are wrapped."""
    return " ".join(text.split())


def read_rows(file: Path) -> list[dict[str, str]]:
    """The rows of a CSV file that a command wrote."""
    with file.open(encoding="utf-8-sig", newline="") as stream:
        return list(csv.DictReader(stream))


def run_python(
    *arguments: str, cwd: Path, stdout: Any = subprocess.PIPE, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run Python in another process, where TensorFlow's log has its default level."""
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src"), "COLUMNS": "200"} | variables
    environment.pop("TF_CPP_MIN_LOG_LEVEL", None)
    options: dict[str, Any] = {"stdout": stdout, "stderr": subprocess.PIPE, "encoding": "utf-8"}
    return subprocess.run([sys.executable, *arguments], cwd=cwd, env=environment, check=False, **options)


def command_with_colours(*arguments: str) -> list[str]:
    """The command line of a command that uses `open_session` in another process, with `process_environment`."""
    script = "import colours\ncolours.model_loading.open_session = colours.open_session\ncolours.main()"
    return [sys.executable, "-c", script, *arguments]


def process_environment() -> dict[str, str]:
    """Environment variables for `command_with_colours`."""
    return os.environ | {"PYTHONPATH": os.pathsep.join(map(str, (ROOT / "src", ROOT / "tests", ROOT)))}
