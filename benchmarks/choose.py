"""`python -m benchmarks.choose --photos … --extractor …`: what the photographs that `realwaste choose` picks are worth.

On labelled photographs whose labels are held back. A softmax head learns from START of them drawn at random, then from
MORE: drawn at random too, or chosen by what it answered. It is asked of photographs whose groups it never saw. Another
part of the groups, and another start, for each seed; at random several times, and the mean of these is the seed's.
"""

import statistics
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupShuffleSplit
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from benchmarks.parts import arguments, pages
from benchmarks.parts.child import ROOT
from realwaste.backbone import feature_extractor
from realwaste.core import log
from realwaste.core.files import write_json
from realwaste.dataset import leakage, manifest
from realwaste.dataset.labels import classes_of
from realwaste.embedding import local
from realwaste.inference import engines
from realwaste.labelling import acquisition
from realwaste.sources.published import COUNTS

RESULTS = ROOT / "benchmarks/choose.json"
COMMAND, PAGE = "python -m benchmarks.choose", ROOT / "docs/labels.md"
SEEDS, DRAWS = range(1, 21), 5
START, MORE, BLOCK, HELD_OUT = 50, 50, 10, 0.25
TITLES = {
    "start": f"{START} at random alone",
    "random": f"and {MORE} more at random",
    "choose": f"and {MORE} by `realwaste choose`",
    "least_sure": f"and the {MORE} least sure, not spread",
    "spread": f"and {MORE} spread, however sure",
}

Rows = NDArray[np.int64]
Pick = Callable[[NDArray[np.float64], NDArray[np.float32], int], Rows]


def _picks() -> dict[str, Pick]:
    """The ways that are compared, each from uncertainty, vectors and a seed."""

    def spread(uncertain: NDArray[np.float64], vectors: NDArray[np.float32], seed: int) -> Rows:
        mixed = np.random.default_rng(seed).permutation(len(vectors))
        every = acquisition.chosen(np.zeros(len(mixed)), vectors[mixed], MORE, oversampled=len(mixed), seed=seed)
        return np.asarray(mixed[every])

    return {
        "choose": lambda uncertain, vectors, seed: acquisition.chosen(uncertain, vectors, MORE, seed=seed),
        "least_sure": lambda uncertain, vectors, _: acquisition.chosen(uncertain, vectors, MORE, oversampled=1),
        "spread": spread,
    }


def main() -> None:
    asked = arguments.parser(COMMAND, __doc__).parse_args()
    log.setup()
    files = manifest.scan(asked.photos, COUNTS).manifest
    size = asked.extractor_size
    model = feature_extractor.build(str(asked.extractor), size, None, seed=0)
    network = engines.network(model, 16, policy="float32", engine="openvino")
    vectors = np.asarray(local.embed(network, asked.photos, files["path"].tolist(), image_size=size).vectors)
    labels = np.searchsorted(classes_of(files), files["label"])
    groups = leakage.groups(files, BLOCK)
    found = {"photos": asked.photos.name, "images": len(files), "extractor": asked.extractor.stem}
    with threadpool_limits(1):
        found |= {"runs": [one_run(vectors, labels, groups, seed) for seed in SEEDS]}
    write_json(RESULTS, found)
    pages.rewrite(PAGE, COMMAND, table(found))


def one_run(vectors: NDArray[np.float32], labels: Rows, groups: Rows, seed: int) -> dict[str, float]:
    """The accuracy after each way of labelling, by the names in TITLES."""
    kept = GroupShuffleSplit(1, test_size=HELD_OUT, random_state=seed).split(vectors, labels, groups)
    learnable, asked = next(kept)
    chance = np.random.default_rng(seed)
    mixed = chance.permutation(learnable)
    start, pool = mixed[:START], mixed[START:]

    def accuracy(more: Rows) -> float:
        rows = np.concatenate([start, more])
        return float(_head(vectors[rows], labels[rows]).score(vectors[asked], labels[asked]))

    uncertain = acquisition.uncertainty(_head(vectors[start], labels[start]).predict_proba(vectors[pool]))
    unit = acquisition.unit(vectors[pool])
    drawn = [accuracy(chance.choice(pool, MORE, replace=False)) for _ in range(DRAWS)]
    run = {"seed": seed, "start": accuracy(pool[:0]), "random": statistics.mean(drawn)}
    run |= {name: accuracy(pool[pick(uncertain, unit, seed)]) for name, pick in _picks().items()}
    log.logger.info("%s", run)
    return run


def _head(vectors: NDArray[np.float32], labels: Rows) -> Pipeline:
    """As the stage suspects has it."""
    return make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000)).fit(vectors, labels)


def table(found: dict[str, Any]) -> str:
    """The page's table: means over the seeds, with standard deviations."""
    rows = []
    for name, title in TITLES.items():
        values = [run[name] for run in found["runs"]]
        against = [run[name] - run["random"] for run in found["runs"]]
        compared = [pages.spread(against), f"{sum(one > 0 for one in against)} of {len(against)}"]
        rows.append([title, pages.spread(values), *(["", ""] if name in {"start", "random"} else compared)])
    return pages.table(["labelled", "accuracy", "above as many at random", "seeds in which it is"], rows)


if __name__ == "__main__":
    main()
