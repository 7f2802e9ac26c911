"""Data-parallel training by Ray Train: a worker a node, each with the cores of its node.

One a node and not one a core: TensorFlow uses all cores of a worker for one batch, the workers of a node would hold as
many copies of weights, moments and pictures, and every gradient would go over the network once for each.

Pictures travel as paths, through the file system that all nodes share, and each worker decodes the rows of batches
that fall to it; arrays go through Ray's object store, one copy a node. The first worker writes the checkpoint to the
shared file system: what a lost worker, node or whole job leaves is the state of the last epoch.
"""

import logging
import queue
import re
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import pandas as pd

from realwaste.cluster import connection, waiting, worker
from realwaste.compute import libraries
from realwaste.core.errors import UserError
from realwaste.core.log import logger
from realwaste.data_parallel import loop, ray_worker
from realwaste.data_parallel.loop import Outcome, Rows, Work
from realwaste.data_parallel.progress import Progress, Report
from realwaste.data_parallel.ray_worker import DecodedOnWorker
from realwaste.dataset.labels import labels_of, paths_of
from realwaste.training.fitting import Schedule
from realwaste.training.result import Training, history_of, training_of
from realwaste.training.samples import Samples

LOSSES_IN_A_ROW = 3  # of workers, without an epoch in between
_LOOK_S = 0.2
_LEAVE_S = 10.0


@dataclass(frozen=True)
class Plan:
    """How many workers a training has, and how many cores each of them."""

    workers: int
    cpus: int


def plan(cores: list[int]) -> Plan:
    """One worker for each node; all have as many cores as the smallest of these nodes.

    Args:
        cores: of each node, as cluster.cores has them.

    Raises:
        UserError: there is none.
    """
    if not cores:
        raise UserError(
            "A training needs a node of the Ray cluster with a core.", "Start one (`ray start`).", "no cores"
        )
    return Plan(len(cores), min(cores))


def pictures(splits: pd.DataFrame, root: Path, size: int, cache: str) -> tuple[Samples, Samples, str]:
    """Samples of paths alone, which every node must have; each worker takes the cache that its node has room for."""
    train, val = (
        Samples(
            DecodedOnWorker([root.resolve() / path for path in paths_of(splits, part)], size, cache),
            labels_of(splits, part),
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
    """Train as realwaste.training.fitting.fit does, over the nodes of a Ray cluster.

    A lost worker ends no training: the others are ended too, and all start again from the last epoch, on the nodes that
    are left. The workers compute deterministically, whatever base.deterministic says.

    Raises:
        UserError: no cluster, no progress for cluster.patience_s(), LOSSES_IN_A_ROW, or a node without the files.
    """
    work = loop.work_of(model, schedule, checkpoint.resolve() if checkpoint else None)
    over, left = threading.Event(), threading.Event()

    def told() -> Iterator[Rows | Outcome]:
        try:
            yield from _lasting(work, train, val, over)
        finally:
            left.set()

    with connection.connected():
        try:
            for news in waiting.with_patience(told(), "training steps"):
                if isinstance(news, Outcome):
                    outcome = news
                elif live and news:
                    live(history_of(news))
        finally:
            # A thread that asks Ray for something when the block has ended would connect again.
            over.set()
            left.wait(_LEAVE_S)
    model.set_weights(outcome.weights)
    return training_of(outcome.rows, outcome.seconds, outcome.best_epoch)


def _lasting(work: Work, train: Samples, val: Samples, over: threading.Event) -> Iterator[Rows | Outcome]:
    """Attempts until one comes to its end: the rows after each epoch, [] for lesser progress, and the outcome.

    Args:
        over: set when nobody waits for it any more.
    """
    import ray  # noqa: PLC0415 - an extra

    given = ray.put((work, train, val))
    lost = epochs = 0
    while True:
        try:
            for news in _attempt(given, over):
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
        self.reason = _reason(error)
        super().__init__(self.reason)


def _reason(error: Exception) -> str:
    """One line of what a worker died of; what the others say is that they waited for it."""
    failures = [str(failure) for failure in getattr(error, "worker_failures", {}).values()] or [str(error)]
    first = next((text for text in failures if "Collective ops" not in text), failures[0])
    told = re.search(r"Worker exit detail: (.*)|(Collective ops is aborted by: .*)", first)
    line = next(filter(None, told.groups())) if told else (first.strip().splitlines() or [type(error).__name__])[-1]
    return line.strip().partition(". ")[0][:160]


def _attempt(given: Any, over: threading.Event) -> Iterator[Rows | Outcome]:
    """One run of Ray Train.

    Raises:
        UserError: what a worker refused to go on for.
    """
    import ray  # noqa: PLC0415
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy  # noqa: PLC0415

    here = NodeAffinitySchedulingStrategy(worker.node(), soft=False)
    progress = ray.remote(num_cpus=0, scheduling_strategy=here)(Progress).remote()
    seen = Report(0, [], "")
    try:
        for error in _run(given, progress):
            if over.is_set():
                return
            news = ray.get(progress.news.remote())
            if news != seen:
                yield news.rows if len(news.rows) > len(seen.rows) else []
            seen = news
            if error is not None:
                # Not before Ray Train has ended: it would ask a cluster that is gone.
                raise (worker.unpacked(news.refusal) if news.refusal else _LostError(error)) from error
        outcome = Outcome(**ray.get(progress.outcome.remote()))
    finally:
        ray.kill(progress)
    yield outcome


def _run(given: Any, progress: Any) -> Iterator[Exception | None]:
    """Start the workers, and give None now and then as long as they run; at last the error that ended them, if any."""
    for name in ("ray.train", "ray.data"):
        logging.getLogger(name).setLevel(logging.ERROR)
    planned = plan(connection.cores())
    logger.info("training on %d nodes, cores of each: %d", planned.workers, planned.cpus)
    with tempfile.TemporaryDirectory() as folder:
        trainer = _trainer(planned, given, progress, folder)
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


def _trainer(planned: Plan, given: Any, progress: Any, folder: str) -> Any:
    from ray.train import FailureConfig, RunConfig, ScalingConfig  # noqa: PLC0415 - an extra
    from ray.train.tensorflow import TensorflowTrainer  # noqa: PLC0415 - an extra

    told = {"given": [given], "progress": progress, "versions": libraries.versions(), "threads": planned.cpus}
    scaling = ScalingConfig(
        num_workers=planned.workers, resources_per_worker={"CPU": planned.cpus}, placement_strategy="STRICT_SPREAD"
    )
    # Lost workers are counted in _lasting, where the number of nodes is counted anew as well.
    failures = FailureConfig(max_failures=0, controller_failure_limit=0)
    run = RunConfig(storage_path=folder, failure_config=failures)
    return TensorflowTrainer(ray_worker.work, train_loop_config=told, scaling_config=scaling, run_config=run)
