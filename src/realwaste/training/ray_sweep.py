"""A learning-rate sweep through Ray Tune: a trial a rate, side by side, each as realwaste.training.sweep_trials has it.

A trial keeps its epochs in the same checkpoint as in one process, which all nodes must see: it goes on from there on
another node when its own is lost. Ray's checkpoints know no order of batches.
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
from realwaste.training import sweep_table, sweep_trials
from realwaste.training.samples import pictures
from realwaste.training.sweep_trials import Sweep, Tried

News = tuple[float, dict[str, Any], bool]  # of a trial: its rate, what it reports, and whether that was the last
# Times that a trial may be lost with its node.
_LOSSES = 5
_CACHES = ["memory", "disk", "none"]


@dataclass(frozen=True)
class Work:
    """What a trial needs besides its rate."""

    job: Sweep
    kept: Path
    threads: int
    side_by_side: int
    versions: dict[str, str] = field(default_factory=determinism.library_versions)


def try_all(job: Sweep, *, kept: Path, live: Callable[[pd.DataFrame], None]) -> Tried:
    """As realwaste.training.sweep.Try. job.root and `kept` must be the same folders on every node.

    A trial has one core, or its share of them where there are more cores than rates. With `prune`, rates end early by
    asynchronous successive halving (ASHA, Li et al., 2020): which ones depends on what is done first, and the table
    then has fewer epochs of them.

    Raises:
        UserError: no cluster; a node that does not see the folders or has other libraries; a trial that was lost too
            often; nothing came for a long time.
    """
    untried = [rate for rate in job.rates if not sweep_trials.finished(kept, rate).is_file()]
    caches = [job.recipe.cache]
    with connection.connected():
        if untried:
            nodes = connection.cores_per_node() or [1]
            threads = max(1, min(*nodes, sum(nodes) // len(untried)))
            at_once = min(len(untried), max(nodes) // threads)
            work = Work(replace(job, root=job.root.absolute()), kept.absolute(), threads, at_once)
            logger.info("%d rates on %d nodes, %d threads each", len(untried), len(nodes), threads)
            news = waiting.stream_results(partial(_run, work, untried), "epochs of the sweep")
            caches += _followed(news, job, kept, live)
    table = pd.concat([read_csv(sweep_trials.finished(kept, rate)) for rate in job.rates], ignore_index=True)
    return Tried(table, max(caches, key=_CACHES.index))


def _followed(news: Iterable[News], job: Sweep, kept: Path, live: Callable[[pd.DataFrame], None]) -> list[str]:
    """Write down what the trials tell: epochs for the eyes, and each rate that is done; the caches that they used."""
    tables = {rate: read_csv(file) for rate in job.rates if (file := sweep_trials.finished(kept, rate)).is_file()}
    caches, places = [], {}
    for rate, said, is_done in news:
        if "refused" in said:
            raise worker_environment.error_from_text(said["refused"])
        places[sweep_table.named(rate)] = said["node"][:8]
        history = pd.DataFrame(said["history"])
        tables[rate] = sweep_table.rows(rate, history).assign(seconds=said["seconds"])
        live(pd.concat([tables[rate] for rate in job.rates if rate in tables], ignore_index=True))
        if is_done:
            caches.append(said["cache"])
            logger.info("learning rate %g: %s", rate, said["line"] or f"ended after {len(history)} epochs")
            write_csv(sweep_trials.finished(kept, rate), tables[rate])
            sweep_trials.clear(kept, rate)
    logger.info("rates on nodes: %s", ", ".join(f"{rate} {node}" for rate, node in places.items()))
    return caches


def _run(work: Work, untried: list[float], tell: Callable[[News], None]) -> None:
    """Every trial, `tell` being given News."""
    from ray import tune  # noqa: PLC0415 - an extra

    class Listener(tune.Callback):
        def __init__(self, tell: Callable[[News], None]) -> None:
            self.tell = tell

        def __getstate__(self) -> dict[str, Any]:
            return {}  # Ray writes its callbacks down, to take up a run by itself: here resumes what trials keep.

        def on_trial_result(self, iteration: int, trials: Any, trial: Any, result: Any, **_: Any) -> None:
            self.tell((trial.config["rate"], result, False))

        def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **_: Any) -> None:
            self.tell((trial.config["rate"], trial.last_result, True))

    job = work.job
    halving = tune.schedulers.ASHAScheduler(time_attr="epoch", max_t=job.recipe.schedule.epochs + 1, grace_period=1)
    with TemporaryDirectory(prefix="tune-", dir=work.kept) as records:
        results = tune.Tuner(
            tune.with_resources(tune.with_parameters(_trial, work=work), {"cpu": work.threads}),
            param_space={"rate": tune.grid_search(untried)},
            tune_config=tune.TuneConfig(
                metric="val_loss", mode="min", scheduler=halving if job.prune else None, reuse_actors=True
            ),
            run_config=tune.RunConfig(
                storage_path=records,
                verbose=0,
                callbacks=[Listener(tell)],
                failure_config=tune.FailureConfig(max_failures=_LOSSES),
            ),
        ).fit()
    if results.errors:
        said = str(results.errors[0]).strip().splitlines()[-1]
        raise UserError(
            f"Every learning rate must be tried; {len(results.errors)} failed {_LOSSES + 1} times.",
            "Run again: finished rates and epochs are kept. If a node is lost each time, see what it says of memory.",
            said,
        )


def _trial(config: dict[str, Any], work: Work) -> None:
    from ray import tune  # noqa: PLC0415 - an extra

    try:
        _tried(config["rate"], work)
    except UserError as error:
        last = work.job.recipe.schedule.epochs + 1
        tune.report({"refused": worker_environment.error_to_text(error), "val_loss": np.inf, "epoch": last})


def _tried(rate: float, work: Work) -> None:
    from ray import tune  # noqa: PLC0415 - an extra

    job, began = work.job, time.perf_counter()
    worker_environment.require_folders(job.root, work.kept)
    worker_environment.match_sender(
        work.versions, seed=job.recipe.schedule.seed, deterministic=job.deterministic, threads=work.threads
    )
    recipe, side_by_side = job.recipe, work.side_by_side
    size = recipe.architecture.image_size
    train, val, cache = pictures(job.splits, job.root, size, recipe.cache, side_by_side=side_by_side)

    def report(history: pd.DataFrame, seconds: float, line: str | None, epoch: int) -> None:
        loss = float(history["val_loss"].iloc[-1])
        about = {"history": history.to_dict("list"), "seconds": seconds, "line": line, "cache": cache}
        ranked = {"epoch": epoch, "val_loss": loss if np.isfinite(loss) else np.inf}
        tune.report(about | ranked | {"node": worker_environment.node_id()})

    def live(history: pd.DataFrame) -> None:
        report(history, time.perf_counter() - began, None, len(history))

    own = sweep_trials.Trials(job, train, val)
    trained = own.fit(rate, checkpoint=sweep_trials.checkpoint(work.kept, rate), live=live)
    # An epoch that is none: by the last one the scheduler may have ended the trial.
    report(trained.history, trained.seconds, trained.line(), job.recipe.schedule.epochs + 1)
