"""The learning-rate sweep with Ray Tune: one trial of realwaste.training.sweep for each rate, side by side.

A trial writes the same checkpoints as in one process, to a folder that all nodes share. If its node is lost, it resumes
from them on another node. Ray's own checkpoints would not restore the order of batches.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd

from realwaste.cluster import connection, waiting, worker_environment
from realwaste.core.errors import UserError
from realwaste.core.files import read_csv, write_csv
from realwaste.core.log import logger
from realwaste.runtime import determinism
from realwaste.training import sweep, sweep_table
from realwaste.training.samples import load_pictures
from realwaste.training.sweep import Sweep, SweepResult

TrialReport = tuple[float, dict[str, Any], bool]  # the rate of a trial, its result, and whether that is the last one
_MAX_FAILURES = 5  # of a trial, with its node
_CACHES = ["memory", "disk", "none"]


@dataclass(frozen=True)
class Work:
    """What all trials have in common."""

    job: Sweep
    checkpoint_dir: Path
    threads: int
    side_by_side: int
    versions: dict[str, str] = field(default_factory=determinism.library_versions)


def run_sweep(job: Sweep, *, checkpoint_dir: Path, on_epoch_end: Callable[[pd.DataFrame], None]) -> SweepResult:
    """As realwaste.training.sweep.run_locally. job.root and `checkpoint_dir` must be the same folders on every node.

    A trial has one core, or its share of the cores if there are more cores than rates. With `prune`, asynchronous
    successive halving (ASHA, Li et al., 2020) stops some rates early; the table has fewer epochs of them. Which ones
    depends on the order in which trials finish.

    Raises:
        UserError: there is no cluster; a node does not see the folders or has other libraries; a trial failed too
            often; no result came for a long time.
    """
    untried = [rate for rate in job.rates if not sweep.result_file(checkpoint_dir, rate).is_file()]
    caches = [job.recipe.cache]
    with connection.connected():
        if untried:
            nodes = connection.cores_per_node() or [1]
            threads = max(1, min(*nodes, sum(nodes) // len(untried)))
            side_by_side = min(len(untried), max(nodes) // threads)
            job_on_nodes = replace(job, root=job.root.absolute())
            work = Work(job_on_nodes, checkpoint_dir.absolute(), threads, side_by_side)
            logger.info("%d rates on %d nodes, %d threads each", len(untried), len(nodes), threads)
            reports = waiting.stream_results(partial(_run, work, untried), "epochs of the sweep")
            caches += _write_results(reports, job, checkpoint_dir, on_epoch_end)
    table = pd.concat([read_csv(sweep.result_file(checkpoint_dir, rate)) for rate in job.rates], ignore_index=True)
    return SweepResult(table, max(caches, key=_CACHES.index))


def _write_results(
    reports: Iterable[TrialReport], job: Sweep, checkpoint_dir: Path, on_epoch_end: Callable[[pd.DataFrame], None]
) -> list[str]:
    """Pass each epoch to `on_epoch_end`, and write the table of each finished rate; returns the trials' caches."""
    tables = {rate: read_csv(file) for rate in job.rates if (file := sweep.result_file(checkpoint_dir, rate)).is_file()}
    caches, nodes = [], {}
    for rate, report, is_finished in reports:
        if "refused" in report:
            raise worker_environment.error_from_text(report["refused"])
        nodes[sweep_table.rate_name(rate)] = report["node"][:8]
        history = pd.DataFrame(report["history"])
        tables[rate] = sweep_table.rate_rows(rate, history).assign(seconds=report["seconds"])
        on_epoch_end(pd.concat([tables[rate] for rate in job.rates if rate in tables], ignore_index=True))
        if is_finished:
            caches.append(report["cache"])
            logger.info("learning rate %g: %s", rate, report["line"] or f"ended after {len(history)} epochs")
            write_csv(sweep.result_file(checkpoint_dir, rate), tables[rate])
            sweep.delete_checkpoints(checkpoint_dir, rate)
    logger.info("rates on nodes: %s", ", ".join(f"{rate} {node}" for rate, node in nodes.items()))
    return caches


def _run(work: Work, untried: list[float], callback: Callable[[TrialReport], None]) -> None:
    """Run every trial; `callback` is called with each TrialReport."""
    from ray import tune  # noqa: PLC0415 - an extra

    class Listener(tune.Callback):
        def __init__(self, callback: Callable[[TrialReport], None]) -> None:
            self.callback = callback

        def __getstate__(self) -> dict[str, Any]:
            return {}  # Ray pickles its callbacks to resume a run; this sweep resumes from its own checkpoints.

        def on_trial_result(self, iteration: int, trials: Any, trial: Any, result: Any, **_: Any) -> None:
            self.callback((trial.config["rate"], result, False))

        def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **_: Any) -> None:
            self.callback((trial.config["rate"], trial.last_result, True))

    job = work.job
    halving = tune.schedulers.ASHAScheduler(time_attr="epoch", max_t=job.recipe.schedule.epochs + 1, grace_period=1)
    with TemporaryDirectory(prefix="tune-", dir=work.checkpoint_dir) as records:
        results = tune.Tuner(
            tune.with_resources(tune.with_parameters(_trial, work=work), {"cpu": work.threads}),
            param_space={"rate": tune.grid_search(untried)},
            tune_config=tune.TuneConfig(
                metric="val_loss", mode="min", scheduler=halving if job.prune else None, reuse_actors=True
            ),
            run_config=tune.RunConfig(
                storage_path=records,
                verbose=0,
                callbacks=[Listener(callback)],
                failure_config=tune.FailureConfig(max_failures=_MAX_FAILURES),
            ),
        ).fit()
    if results.errors:
        message = str(results.errors[0]).strip().splitlines()[-1]
        raise UserError(
            f"Every learning rate must be tried; {len(results.errors)} failed {_MAX_FAILURES + 1} times.",
            "Run again: finished rates and epochs are kept. If a node is lost each time, check its memory.",
            message,
        )


def _trial(config: dict[str, Any], work: Work) -> None:
    from ray import tune  # noqa: PLC0415 - an extra

    try:
        _train(config["rate"], work)
    except UserError as error:
        last = work.job.recipe.schedule.epochs + 1
        tune.report({"refused": worker_environment.error_to_text(error), "val_loss": np.inf, "epoch": last})


def _train(rate: float, work: Work) -> None:
    from ray import tune  # noqa: PLC0415 - an extra

    job, started_at = work.job, time.perf_counter()
    worker_environment.require_folders(job.root, work.checkpoint_dir)
    worker_environment.match_sender(
        work.versions, seed=job.recipe.schedule.seed, deterministic=job.deterministic, threads=work.threads
    )
    size, wanted_cache = job.recipe.architecture.image_size, job.recipe.cache
    train, val, cache = load_pictures(job.splits, job.root, size, wanted_cache, side_by_side=work.side_by_side)

    def report(history: pd.DataFrame, seconds: float, line: str | None, epoch: int) -> None:
        loss = float(history["val_loss"].iloc[-1])
        result = {"history": history.to_dict("list"), "seconds": seconds, "line": line, "cache": cache}
        ranked = {"epoch": epoch, "val_loss": loss if np.isfinite(loss) else np.inf}
        tune.report(result | ranked | {"node": worker_environment.node_id()})

    def on_epoch_end(history: pd.DataFrame) -> None:
        report(history, time.perf_counter() - started_at, None, len(history))

    trials = sweep.Trials(job, train, val)
    trained = trials.fit(rate, checkpoint=sweep.checkpoint_file(work.checkpoint_dir, rate), on_epoch_end=on_epoch_end)
    # As an additional epoch: at the last real one the scheduler may have stopped the trial already.
    report(trained.history, trained.seconds, trained.describe(), job.recipe.schedule.epochs + 1)
