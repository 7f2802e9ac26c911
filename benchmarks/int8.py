"""`python -m benchmarks.int8 --photos … --extractor …`: are eight-bit weights and activations worth it?

NNCF's post-training quantisation, calibrated on training photographs, against float32 and bfloat16 by OpenVINO: images
a second in turn, and the test accuracy of a head over five grouped splits. The pipeline takes it only where it is 1.5
times as fast as bfloat16 and loses less than half a point. Needs `pip install nncf==3.4.0`, which nothing else does.
"""

import statistics
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.leakage import BLOCK, RATIOS
from benchmarks.parts import arguments, pages
from benchmarks.parts.child import ROOT
from realwaste.backbone import feature_extractor
from realwaste.core import log
from realwaste.core.files import write_json
from realwaste.dataset import leakage, manifest, split
from realwaste.embedding import local
from realwaste.finetuning import phases
from realwaste.images.reader import read, read_many
from realwaste.inference import conversion, engines, on_openvino
from realwaste.inference.library import openvino
from realwaste.sources.published import COUNTS
from realwaste.training import fitting
from realwaste.training.samples import Samples

RESULTS, PAGE, COMMAND = ROOT / "benchmarks/int8.json", ROOT / "docs/inference.md", "python -m benchmarks.int8"
SEEDS, ROWS, CALIBRATED_ON, ROUNDS = range(5), 16, 256, 7
POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16", "int8": "float32"}


def main() -> None:
    asked = arguments.parser(COMMAND, __doc__).parse_args()
    log.setup()
    root, size = asked.photos, asked.extractor_size
    files = manifest.scan(root, COUNTS).manifest
    paths, labels = files["path"].tolist(), np.unique(files["label"], return_inverse=True)[1]
    group = leakage.groups(files, BLOCK)
    made = conversion.converted(feature_extractor.build(str(asked.extractor), size, None, seed=0))

    def embedded(network: engines.Network) -> NDArray[np.float32]:
        return np.asarray(local.embed(network, root, paths, image_size=size).vectors)

    networks = {name: on_openvino.network(made, ROWS, POLICIES[name]) for name in ("float32", "bfloat16")}
    vectors = {name: embedded(network) for name, network in networks.items()}
    runs: list[dict[str, Any]] = []
    for seed in SEEDS:
        parts = split.grouped(files, group, **RATIOS, seed=seed).set_index("path").loc[paths, "split"].to_numpy()
        learned = np.random.default_rng(seed).permutation(np.flatnonzero(parts == "train"))[:CALIBRATED_ON]
        small = _quantised(made, [read(root / paths[row], size)[np.newaxis] for row in learned])
        networks["int8"] = on_openvino.network(small, ROWS, POLICIES["int8"])
        vectors["int8"] = embedded(networks["int8"])
        said = {name: _answers(own, labels, parts, seed) for name, own in vectors.items()}
        runs.append(_compared(said, labels[parts == "test"]))
        log.logger.info("split %d: %s", seed, runs[-1])
    found = {"photos": root.name, "images": len(paths), "extractor": asked.extractor.stem}
    rates = _rates(networks, read_many([root / path for path in paths[:ROWS]], size))
    write_json(RESULTS, found | {"rates": rates, "runs": runs})
    pages.rewrite(PAGE, COMMAND, table(found | {"rates": rates, "runs": runs}))


def _compared(said: dict[str, NDArray[Any]], truth: NDArray[np.int64]) -> dict[str, Any]:
    """Of each format, accuracy and the share of answers that are float32's; and how many were tested."""
    plain = said["float32"]
    compared = {name: {"accuracy": (own == truth).mean(), "same": (own == plain).mean()} for name, own in said.items()}
    return {name: {key: float(value) for key, value in own.items()} for name, own in compared.items()} | {
        "tested": len(truth)
    }


def _quantised(made: openvino.Model, pictures: list[NDArray[np.uint8]]) -> openvino.Model:
    import nncf  # noqa: PLC0415 - of this benchmark alone

    single = made.clone()
    single.reshape([1, *pictures[0].shape[1:]])
    return nncf.quantize(single, nncf.Dataset(pictures), subset_size=len(pictures))


def _answers(
    vectors: NDArray[np.float32], labels: NDArray[np.int64], parts: NDArray[np.str_], seed: int
) -> NDArray[Any]:
    """The classes that a head as finetune's says of the test photographs."""
    own = phases.Parts(*(Samples(vectors[parts == part], labels[parts == part]) for part in ("train", "val")))
    recipe = phases.Recipe(len(set(labels.tolist())), 128, fitting.Schedule(10, 32, 0.001, True, seed), True)
    head, _ = phases.fit_head(own, recipe, seed, silent=True)
    return np.asarray(head.predict_on_batch(vectors[parts == "test"])).argmax(axis=1)


def _rates(networks: dict[str, engines.Network], ready: NDArray[np.uint8]) -> dict[str, list[float]]:
    """Images a second of each, in turn; the first round is not counted."""
    found: dict[str, list[float]] = {name: [] for name in networks}
    for _ in range(ROUNDS + 1):
        for name, network in networks.items():
            started = time.perf_counter()
            for _ in range(4):
                network(ready)
            found[name].append(4 * len(ready) / (time.perf_counter() - started))
    return {name: rates[1:] for name, rates in found.items()}


def table(found: dict[str, Any]) -> str:
    """The page's table."""
    rows = []
    for name, rates in found["rates"].items():
        ratio = statistics.median(own / low for own, low in zip(rates, found["rates"]["bfloat16"], strict=True))
        accuracies, same = ([run[name][key] for run in found["runs"]] for key in ("accuracy", "same"))
        lost = [run[name]["accuracy"] - run["float32"]["accuracy"] for run in found["runs"]]
        rows.append(
            [
                name,
                f"{statistics.median(rates):.0f}",
                f"{ratio:.2f}",
                f"{statistics.mean(accuracies):.3f} ± {statistics.stdev(accuracies):.3f}",
                f"{100 * statistics.mean(lost):+.2f} ± {100 * statistics.stdev(lost):.2f}",
                f"{statistics.mean(same):.1%}",
            ]
        )
    head = ["", "images/s", "of bfloat16's", "test accuracy", "points to float32", "same class as float32"]
    return (
        f"{found['images']:,} photographs ({found['photos']}), {found['extractor']}; mean ± deviation of five grouped "
        f"splits, each with some {found['runs'][0]['tested']} tested:\n\n" + pages.table(head, rows)
    )


if __name__ == "__main__":
    main()
