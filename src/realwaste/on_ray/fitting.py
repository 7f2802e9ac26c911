"""Data-parallel training by Ray Train: a worker a node, each with the cores of its node.

One a node and not one a core: TensorFlow uses all cores of a worker for one batch, the workers of a node would hold as
many copies of weights, moments and pictures, and every gradient would go over the network once for each.

Pictures travel as paths, through the file system that all nodes share, and each worker decodes the rows of batches
that fall to it; arrays go through Ray's object store, one copy a node. The first worker writes the checkpoint to the
shared file system: what a lost worker, node or whole job leaves is the state of the last epoch.
"""

import logging
import queue
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import pandas as pd

from realwaste import data_parallel, pixel_cache, training
from realwaste.data_parallel import Outcome, Rows, Work
from realwaste.errors import UserError
from realwaste.log import logger
from realwaste.on_ray import cluster
from realwaste.on_ray.mailbox import Mailbox, News
from realwaste.pixel_cache import Files
from realwaste.samples import Samples, labels_of, paths_of
from realwaste.training import Schedule, Training

LOSSES_IN_A_ROW = 3  # of workers, without an epoch in between
_LOOK_S = 0.2
_BEAT_S = 0.5


@dataclass(frozen=True)
class Plan:
    """How many workers, and the cores of each."""

    workers: int
    cpus: int


def plan(nodes: list[dict[str, Any]]) -> Plan:
    """One worker for each node of ray.nodes() that has a core; all have as many cores as the smallest of these nodes.

    Raises:
        UserError: there is none.
    """
    cores = [int(node["Resources"].get("CPU", 0)) for node in nodes if node["Alive"]]
    if not any(cores):
        raise UserError(
            "A training needs a node of the Ray cluster with a core.", "Start one (`ray start`).", "no cores"
        )
    return Plan(sum(core > 0 for core in cores), min(filter(None, cores)))


class Wanted(Files):
    """Pictures that are decoded where they are used, and kept there in `cache` if they fit."""

    def __init__(self, files: list[Path], size: int, cache: str) -> None:
        super().__init__(files, size)
        self.cache = cache


def pictures(splits: pd.DataFrame, root: Path, size: int, cache: str) -> tuple[Samples, Samples, str]:
    """Paths alone, which every node must have; each worker decides by itself on a cache that its node has room for."""
    train, val = (
        Samples(
            Wanted([root.resolve() / path for path in paths_of(splits, part)], size, cache), labels_of(splits, part)
        )
        for part in ("train", "val")
    )
    return train, val, cache


def fit(
    model: keras.Model,
    train: Samples,
    val: Samples,
    schedule: Schedule,
    *,
    checkpoint: Path | None = None,
    live: Callable[[pd.DataFrame], None] | None = None,
) -> Training:
    """Fit `model` in place, as training.fit does, over the nodes of a Ray cluster.

    A lost worker ends no training: the others are ended too, and all start again from the last epoch, on the nodes that
    are left. The workers compute deterministically, whatever base.deterministic says.

    Raises:
        UserError: no cluster, no progress for cluster.patience_s(), LOSSES_IN_A_ROW, or a node without the files.
    """
    work = data_parallel.work_of(model, schedule, checkpoint.resolve() if checkpoint else None)
    with cluster.connected():
        for news in cluster.watched(_lasting(work, train, val), "training steps"):
            if isinstance(news, Outcome):
                outcome = news
            elif live and news:
                live(training.history_of(news))
    model.set_weights(outcome.weights)
    return training.what_happened(outcome.rows, outcome.seconds, outcome.best_epoch)


def _lasting(work: Work, train: Samples, val: Samples) -> Iterator[Rows | Outcome]:
    """Attempts until one comes to its end: the rows after each epoch, [] for lesser progress, and the outcome."""
    import ray  # noqa: PLC0415 - an extra

    given = ray.put((work, train, val))
    lost = epochs = 0
    while True:
        try:
            for news in _attempt(given):
                if isinstance(news, list) and len(news) > epochs:
                    epochs, lost = len(news), 0
                yield news
        except _LostError as loss:
            lost += 1
            if lost == LOSSES_IN_A_ROW:
                raise UserError(
                    f"A training must keep its workers for an epoch; {lost} times in a row it did not.",
                    "See what ended them (memory, a node, the network). Then run again: what was finished is kept.",
                    loss.reason,
                ) from loss
            where = "goes on from the last epoch that was kept" if work.checkpoint else "starts anew"
            logger.warning("a worker was lost, the training %s: %s", where, loss.reason)
        else:
            return


class _LostError(Exception):
    """A worker ended early. Attributes: reason, one line."""

    def __init__(self, error: Exception) -> None:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        self.reason = lines[-1].partition(". ")[0][:160] if lines else type(error).__name__
        super().__init__(self.reason)


def _attempt(given: Any) -> Iterator[Rows | Outcome]:
    """One run of Ray Train.

    Raises:
        UserError: what a worker refused to go on for.
    """
    import ray  # noqa: PLC0415
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy  # noqa: PLC0415

    here = NodeAffinitySchedulingStrategy(cluster.node(), soft=False)
    mailbox = ray.remote(num_cpus=0, scheduling_strategy=here)(Mailbox).remote()
    seen = News(0, [], None)
    try:
        for error in _run(given, mailbox):
            news = ray.get(mailbox.news.remote())
            if news.refusal is not None:
                raise news.refusal
            if news != seen:
                yield news.rows if len(news.rows) > len(seen.rows) else []
            seen = news
            if error is not None:
                raise _LostError(error) from error
        outcome = ray.get(mailbox.outcome.remote())
    finally:
        ray.kill(mailbox)
    yield outcome


def _run(given: Any, mailbox: Any) -> Iterator[Exception | None]:
    """Start the workers, and give None now and then as long as they run; at last the error that ended them, if any."""
    import ray  # noqa: PLC0415
    from ray.train import FailureConfig, RunConfig, ScalingConfig  # noqa: PLC0415
    from ray.train.tensorflow import TensorflowTrainer  # noqa: PLC0415

    for name in ("ray.train", "ray.data"):
        logging.getLogger(name).setLevel(logging.ERROR)
    planned = plan(ray.nodes())
    logger.info("training on %d nodes, cores of each: %d", planned.workers, planned.cpus)
    with tempfile.TemporaryDirectory() as folder:
        trainer = TensorflowTrainer(
            _work,
            train_loop_config={
                "given": [given],
                "mailbox": mailbox,
                "versions": cluster.versions(),
                "threads": planned.cpus,
            },
            scaling_config=ScalingConfig(
                num_workers=planned.workers,
                resources_per_worker={"CPU": planned.cpus},
                placement_strategy="STRICT_SPREAD",
            ),
            # Lost workers are counted here, where the number of nodes is counted anew as well.
            run_config=RunConfig(
                storage_path=folder, failure_config=FailureConfig(max_failures=0, controller_failure_limit=0)
            ),
        )
        ended: queue.Queue[Exception | None] = queue.Queue()

        def wait() -> None:
            try:
                trainer.fit()
            except Exception as error:
                ended.put(error)
            else:
                ended.put(None)

        threading.Thread(target=wait, name="ray train", daemon=True).start()
        while ended.empty():
            yield None
            time.sleep(_LOOK_S)
        yield ended.get()


def _work(told: dict[str, Any]) -> None:
    """What each worker does, in a process of its own; its sys.argv is Ray's."""
    import ray  # noqa: PLC0415

    mailbox = told["mailbox"]
    try:
        outcome = _trained(ray.get(told["given"][0]), mailbox, told["versions"], told["threads"])
    except UserError as reason:
        ray.get(mailbox.refuse.remote(reason))
        raise
    if outcome is not None:
        ray.get(mailbox.end.remote(outcome))


def _trained(
    given: tuple[Work, Samples, Samples], mailbox: Any, versions: dict[str, str], threads: int
) -> Outcome | None:
    """The outcome, of the first worker; None of the others."""
    import tensorflow as tf  # noqa: PLC0415

    work, train, val = given
    cluster.settle(versions, seed=work.schedule.seed, deterministic=True, threads=threads)
    # Before any operation, which the workers could else not join.
    strategy = tf.distribute.MultiWorkerMirroredStrategy()
    _check_files(work, train)
    first = strategy.cluster_resolver.task_id == 0
    told = [0.0]

    def beat() -> None:
        if time.monotonic() - told[0] > _BEAT_S:
            told[0] = time.monotonic()
            mailbox.beat.remote()

    def live(rows: Rows) -> None:
        if first:
            mailbox.epoch.remote(rows)

    outcome = data_parallel.fit(work, *_kept(train, val), strategy, beat=beat, live=live)
    return outcome if first else None


def _check_files(work: Work, train: Samples) -> None:
    needed = [work.checkpoint.parent] if work.checkpoint else []
    if isinstance(train.inputs, Files):
        needed += train.inputs.files[:1]
    if missing := [path for path in needed if not path.exists()]:
        raise UserError(
            "Every node of the cluster must have the checkout at the same path.",
            "Run from a file system that all nodes share.",
            f"{missing[0]} is not on a node",
        )


def _kept(train: Samples, val: Samples) -> tuple[Samples, Samples]:
    """The same samples, pictures with the cache that this node has room for."""
    files = [part.inputs for part in (train, val) if isinstance(part.inputs, Wanted)]
    if not files:
        return train, val
    folder = Path(tempfile.gettempdir())
    used = pixel_cache.choose(files[0].cache, sum(len(part.files) for part in files), files[0].size, folder)
    if used == "none":
        return train, val
    kept = [
        replace(part, inputs=pixel_cache.Kept(part.inputs.files, part.inputs.size, used, folder))
        if isinstance(part.inputs, Wanted)
        else part
        for part in (train, val)
    ]
    return kept[0], kept[1]
