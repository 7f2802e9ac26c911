"""Parts of a job computed by a pool of actors of Ray Data, each of which loads its model once."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from realwaste.cluster import worker_environment

# Each actor computes with one thread but reserves half a core, so that all still fit if half of the nodes are lost.
_CORES_PER_ACTOR = 0.5


def map_parts(actor: type, task: Any, parts: Sequence[Mapping[str, Any]], actors: int) -> Iterator[dict[str, Any]]:
    """The row that an actor returns for each part, as soon as it is computed.

    By default Ray restarts a lost actor on another node, with the parts that it had.

    Args:
        actor: a class that takes `task`, and is called with one part as a batch of one row. The rows that it returns
            have a column `error`: "", or the text of worker_environment.error_to_text.

    Raises:
        UserError: an actor has returned one.
    """
    import ray  # noqa: PLC0415 - an extra

    ray.data.DataContext.get_current().enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    results = ray.data.from_items(list(parts), override_num_blocks=len(parts)).map_batches(
        actor,
        fn_constructor_args=(task,),
        batch_size=1,
        compute=ray.data.ActorPoolStrategy(size=actors),
        num_cpus=_CORES_PER_ACTOR,
    )
    for row in results.iter_rows():
        if row["error"]:
            raise worker_environment.error_from_text(row["error"])
        yield row
