"""The replicas, here called workers, of the `tf.distribute` strategy that a computation runs under.

Outside of a strategy there is one.
"""

from typing import Any

import tensorflow as tf


def count() -> int:
    """The number of workers."""
    return int(tf.distribute.get_replica_context().num_replicas_in_sync)


def index() -> Any:
    """The number of this worker, from 0; inside a strategy it may be a tensor."""
    return tf.distribute.get_replica_context().replica_id_in_sync_group


def total(values: Any) -> Any:
    """The sum over all workers of a tensor, or of each of a list; all get the same bits. Gradients go through."""
    return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, values)
