"""`python -m benchmarks.data_parallel`: a step of the CNN on one core, and on two workers of a core each.

The workers are processes on this machine, joined over its loopback: what they send is what they would send over a
network, and what sending takes there is not measured. Drawn pixels; one worker and two run in turn, several times. The
loopback's counters count for all who use it: `unshare -n` gives the measurement one of its own.
"""

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import time
from contextlib import ExitStack, closing
from typing import Any

from benchmarks.parts import pages
from benchmarks.parts.child import ROOT
from realwaste.core.files import write_json

RESULTS, PAGE = ROOT / "benchmarks/data_parallel.json", ROOT / "docs/scale.md"
COMMAND = "python -m benchmarks.data_parallel"
SIZE, BATCH, CLASSES, STEPS = 256, 32, 9, 8
HEADS = {"flatten": "flatten, the report's", "gap": "gap"}


def main() -> None:
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    repeats = parser.parse_args().repeats
    runs = [_run(head, workers) for _ in range(repeats) for head in HEADS for workers in (1, 2)]
    write_json(RESULTS, {"batch": BATCH, "image_size": SIZE, "steps": STEPS, "runs": runs})
    pages.rewrite(PAGE, COMMAND, table(runs))


def table(runs: list[dict[str, Any]]) -> str:
    heads = ["head", "weights", "sent and received a step", "a step, one worker", "two", ""]
    return pages.table(heads, [_row(name, [run for run in runs if run["head"] == name]) for name in HEADS])


def _row(head: str, runs: list[dict[str, Any]]) -> list[str]:
    seconds = [statistics.median(run["seconds"] for run in runs if run["workers"] == count) for count in (1, 2)]
    sent = statistics.median(run["bytes"] for run in runs if run["workers"] == 2)
    return [
        HEADS[head],
        f"{runs[0]['weights'] / 1e6:.2f} M",
        f"{sent / 1e6:.3g} MB a worker",
        f"{seconds[0]:.2f} s",
        f"{seconds[1]:.2f} s",
        f"**{seconds[0] / seconds[1]:.2f}×**",
    ]


def _run(head: str, workers: int) -> dict[str, Any]:
    """What the first worker says."""
    with ExitStack() as free:
        bound = [free.enter_context(closing(socket.socket())) for _ in range(workers)]
        for one in bound:
            one.bind(("127.0.0.1", 0))
        places = [f"127.0.0.1:{one.getsockname()[1]}" for one in bound]
    processes = [
        subprocess.Popen(  # noqa: S603
            [sys.executable, "-m", "benchmarks.parts.data_parallel_worker", head],
            env=os.environ
            | {
                "TF_CPP_MIN_LOG_LEVEL": "3",
                "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}",
                "TF_CONFIG": json.dumps({"cluster": {"worker": places}, "task": {"type": "worker", "index": rank}}),
            },
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in range(workers)
    ]
    try:
        said = [process.communicate(timeout=600)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    return {"head": head, "workers": workers} | json.loads(said[0].strip().splitlines()[-1])


def sent(before: float) -> float:
    """Bytes that left this machine's loopback since it said `before`; all workers are on it."""
    import psutil  # noqa: PLC0415

    return float(psutil.net_io_counters(pernic=True)["lo"].bytes_sent) - before


def measured(head: str) -> dict[str, Any]:
    """STEPS steps after two that trace and warm up: seconds and bytes of one, a worker."""
    import tensorflow as tf  # noqa: PLC0415

    tf.config.threading.set_intra_op_parallelism_threads(1)
    strategy = tf.distribute.MultiWorkerMirroredStrategy()
    import numpy as np  # noqa: PLC0415

    from realwaste.compute import repeatable  # noqa: PLC0415
    from realwaste.data_parallel import loop  # noqa: PLC0415
    from realwaste.network import cnn  # noqa: PLC0415
    from realwaste.training import fitting  # noqa: PLC0415
    from realwaste.training.samples import Samples  # noqa: PLC0415

    repeatable.make_repeatable(1, deterministic=True)
    model = cnn.build(SIZE, CLASSES, batch_norm_momentum=0.9, head=head)
    count = BATCH * (STEPS + 2)
    rng = np.random.default_rng(0)
    train = Samples(rng.integers(0, 256, (count, SIZE, SIZE, 3), np.uint8), np.arange(count) % CLASSES)
    val = Samples(train.inputs[np.arange(2)], train.labels[:2])
    times, places = [], []

    def beat() -> None:
        times.append(time.perf_counter())
        places.append(sent(0))

    schedule = fitting.Schedule(1, BATCH, 0.001, True, 1)
    loop.fit(loop.work_of(model, schedule, None), train, val, strategy, beat=beat)
    first, last = 1, 1 + STEPS
    return {
        "weights": model.count_params(),
        "seconds": (times[last] - times[first]) / STEPS,
        "bytes": (places[last] - places[first]) / STEPS / strategy.num_replicas_in_sync,
    }


if __name__ == "__main__":
    main()
