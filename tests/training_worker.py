"""A worker of several on this machine, without Ray: `python training_worker.py RANK PORT,PORT… JOBS OUT`.

JOBS is a JSON list of what training_job.share takes; OUT.<number>.npz gets each one's rows and weights.
"""

import json
import os
import sys

RANK, PORTS, JOBS, OUT = int(sys.argv[1]), sys.argv[2].split(","), json.loads(sys.argv[3]), sys.argv[4]
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["TF_CONFIG"] = json.dumps(
    {"cluster": {"worker": [f"127.0.0.1:{port}" for port in PORTS]}, "task": {"type": "worker", "index": RANK}}
)

import tensorflow as tf  # noqa: E402 - which reads them

tf.config.threading.set_intra_op_parallelism_threads(1)
STRATEGY = tf.distribute.MultiWorkerMirroredStrategy()

import numpy as np  # noqa: E402 - after the strategy
import training_job  # noqa: E402

for number, job in enumerate(JOBS):
    outcome = training_job.share(STRATEGY, **job)
    np.savez(f"{OUT}.{number}.npz", *outcome.weights, rows=outcome.rows, best_epoch=outcome.best_epoch)
