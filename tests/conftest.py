"""Fixtures and helpers that several tests need. Every image is generated; none is a photograph."""

import gc
import io
import os
import signal
import subprocess
import tarfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import pandas as pd
import pytest
import tiny_pipeline
from limits import limited, seconds_for

import realwaste  # noqa: F401 - pins the settings of Keras, here and in processes of tests
from benchmarks.parts import ray_nodes
from benchmarks.parts.workspace import copy_checkout, set_params

Images = Callable[..., Path]
gc.disable()  # until all tests are imported
# Tests run on the CPU, as in CI, even on a machine with a GPU. The code then logs no hint about an idle GPU.
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
# A shell without job control (`nohup … &`, many CI agents) makes background jobs ignore SIGINT, and child processes
# inherit that. Tests that send SIGINT would wait for ever.
signal.signal(signal.SIGINT, signal.default_int_handler)


def picture(seed: int, height: int = 40, width: int = 40) -> np.ndarray:
    """Generate smooth noise, which JPEG compression barely changes."""
    rng = np.random.default_rng(seed)
    coarse_pixels = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return cv2.resize(coarse_pixels, (width, height), interpolation=cv2.INTER_CUBIC)


def write_tar(path: Path, members: Mapping[str, bytes], mode: Literal["w", "w:gz"] = "w") -> None:
    with tarfile.open(path, mode) as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the slowest files first: one that starts last would keep a single core busy while the others are idle."""
    slowest = ["test_repro", "test_resume", "test_unfreezing", "test_serve", "test_heads", "test_report", "test_export"]
    slowest += ["test_backbone", "test_inference", "test_training", "test_inference_networks", "test_hostile_images"]
    slowest += ["test_benchmarks", "test_fused", "test_serve_load", "test_finetuning", "test_leakage", "test_train"]
    items.sort(key=lambda item: slowest.index(item.path.stem) if item.path.stem in slowest else len(slowest))


def pytest_collection_finish() -> None:
    """Exempt imported modules from garbage collection: they stay in memory until the tests end."""
    gc.enable()
    gc.freeze()


def _limit_duration(item: pytest.Item) -> Iterator[None]:
    with limited(seconds_for(item)):
        return (yield)


pytest_runtest_setup = pytest_runtest_call = pytest_runtest_teardown = pytest.hookimpl(wrapper=True)(_limit_duration)


@pytest.fixture(autouse=True)
def _isolate_from_user_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Isolate the tests from the download cache, the proxy and the default model of the user."""
    monkeypatch.setenv("REALWASTE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("REALWASTE_MODEL", raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1,localhost")


def draw_images(root: Path, **counts: int) -> Path:
    """Write the images <root>/a/a_1.jpg … a_3.jpg for a=3. Returns the root."""
    for number, (label, count) in enumerate(counts.items()):
        (root / label).mkdir(parents=True)
        for index in range(count):
            cv2.imwrite(str(root / label / f"{label}_{index + 1}.jpg"), picture(1000 * number + index))
    return root


@pytest.fixture
def images(tmp_path: Path) -> Images:
    """A function: images(a=3, b=2, inside="set/deep") writes <tmp>/set/deep/a/a_1.jpg … and returns <tmp>/set."""

    def write(inside: str = "set", **counts: int) -> Path:
        draw_images(tmp_path / inside, **counts)
        return tmp_path / Path(inside).parts[0]

    return write


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout of the tiny pipeline in which no stage has run. The tests of a file share it."""
    root = tmp_path_factory.mktemp("clone")
    tiny_pipeline.make(root)
    return root


@pytest.fixture
def ready_to_train(tmp_path: Path, images: Images) -> Path:
    """A checkout with the inputs of the stage train_cnn: a few small images. It trains for two epochs."""
    from realwaste.core.files import write_csv, write_json
    from realwaste.dataset import manifest, split

    root = tmp_path / "checkout"
    copy_checkout(root)
    set_params(root, train_cnn__image_size=16, train_cnn__epochs=2)
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    images(inside="checkout/data/raw", glass=12, paper=12)
    accepted, *_ = manifest.scan(root / "data/raw")
    write_csv(root / "data/splits.csv", split.stratified(accepted, train=0.5, val=0.25, test=0.25, seed=0))
    write_json(root / "data/dataset.json", {"dataset": "drawn", "origin": "given"})
    return root


@pytest.fixture(scope="module")
def nodes() -> Iterator[ray_nodes.Cluster]:
    """A cluster of two Ray nodes with one core each. The tests of a file share it."""
    with ray_nodes.started() as cluster:
        yield cluster


@pytest.fixture
def realwaste_manifest() -> pd.DataFrame:
    """A manifest with one row for each image of RealWaste, made from the published counts without the images."""
    from realwaste.sources.realwaste_files import COUNTS

    rows = [
        (f"{label}/{label}_{number}.jpg", label) for label, count in COUNTS.items() for number in range(1, count + 1)
    ]
    return pd.DataFrame(rows, columns=["path", "label"])
