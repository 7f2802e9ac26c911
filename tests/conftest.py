"""Pictures and tables that several tests need; every picture here is drawn, none is a photograph."""

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
# Tests run on the processor, whatever else is here: as CI does, and with nothing to say of an idle GPU.
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
# A shell without job control (`nohup … &`, many CI agents) has a job in the background ignore Ctrl-C, and every process
# that it starts inherits that; tests that press it would wait for ever.
signal.signal(signal.SIGINT, signal.default_int_handler)


def picture(seed: int, height: int = 40, width: int = 40) -> np.ndarray:
    """Smooth noise, so that JPEG keeps it nearly as it is."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


def write_tar(path: Path, members: Mapping[str, bytes], mode: Literal["w", "w:gz"] = "w") -> None:
    with tarfile.open(path, mode) as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The files that take longest first: handed out last, one of them would keep one core busy and the other idle."""
    longest = ["test_repro", "test_resume", "test_unfreezing", "test_serve", "test_heads", "test_report"]
    items.sort(key=lambda item: longest.index(item.path.stem) if item.path.stem in longest else len(longest))


def pytest_collection_finish() -> None:
    """Modules that the tests import live to the end: garbage collection need not search them again and again."""
    gc.freeze()


def _limited(item: pytest.Item) -> Iterator[None]:
    with limited(seconds_for(item)):
        return (yield)


pytest_runtest_setup = pytest_runtest_call = pytest_runtest_teardown = pytest.hookimpl(wrapper=True)(_limited)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test uses the download cache, the proxy or the models of the person who runs it."""
    monkeypatch.setenv("REALWASTE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("REALWASTE_MODEL", raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1,localhost")


def draw_images(root: Path, **counts: int) -> Path:
    """Write <root>/a/a_1.jpg … for a=3; returns the root."""
    for number, (label, count) in enumerate(counts.items()):
        (root / label).mkdir(parents=True)
        for index in range(count):
            cv2.imwrite(str(root / label / f"{label}_{index + 1}.jpg"), picture(1000 * number + index))
    return root


@pytest.fixture
def images(tmp_path: Path) -> Images:
    """images(a=3, b=2, inside="set/deep") writes <tmp>/set/deep/a/a_1.jpg …, and gives <tmp>/set."""

    def write(inside: str = "set", **counts: int) -> Path:
        draw_images(tmp_path / inside, **counts)
        return tmp_path / Path(inside).parts[0]

    return write


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout of the tiny pipeline, one for each test file, before any run."""
    root = tmp_path_factory.mktemp("clone")
    tiny_pipeline.make(root)
    return root


@pytest.fixture
def ready_to_train(tmp_path: Path, images: Images) -> Path:
    """A checkout in a folder of its own, with what the stage train_cnn reads: a few small pictures, two epochs."""
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
    """Two Ray nodes of one core each, for the tests of a file."""
    with ray_nodes.started() as cluster:
        yield cluster


@pytest.fixture
def realwaste_manifest() -> pd.DataFrame:
    """One row for each image of RealWaste, by its published counts, without the images."""
    from realwaste.sources.realwaste_files import COUNTS

    rows = [
        (f"{label}/{label}_{number}.jpg", label) for label, count in COUNTS.items() for number in range(1, count + 1)
    ]
    return pd.DataFrame(rows, columns=["path", "label"])
