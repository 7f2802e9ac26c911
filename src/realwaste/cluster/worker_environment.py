"""A worker process on a node of the Ray cluster: what it must find there, and how it says what it misses.

Libraries must be the same on every node. Where they are not, the work is refused, since its numbers would depend on
which node did what. A refusal travels as a result and not as an exception, of which Ray keeps the text alone, or tries
the work again; and as text, which passes through whatever Ray sends results by.
"""

import json
import logging
from collections.abc import Mapping
from pathlib import Path

from realwaste.core.errors import UserError
from realwaste.core.log import logger
from realwaste.runtime import determinism


def node_id() -> str:
    """The id of the node that this worker runs on, in hexadecimal digits."""
    import ray  # noqa: PLC0415

    return str(ray.get_runtime_context().get_node_id())


def match_sender(expected: Mapping[str, str], *, seed: int, deterministic: bool, threads: int) -> None:
    """Make this worker compute as the process that sent it the work. Call it before TensorFlow computes anything.

    Args:
        expected: libraries.versions() of the sender.
        threads: cores to use for one operation; Ray reserves cores, and holds nobody to them.

    Raises:
        UserError: another version of a library.
    """
    found = determinism.library_versions()
    if found != dict(expected):
        differing = {name: found[name] for name in found if found[name] != expected.get(name)}
        raise UserError(
            "Every node of the cluster must have the libraries of the machine that starts the stage.",
            "Run `make setup-dev` in a checkout of the same commit on each.",
            differing,
        )
    import tensorflow as tf  # noqa: PLC0415 - what connects only need not wait for it

    from realwaste.runtime.determinism import make_repeatable  # noqa: PLC0415

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    logger.setLevel(logging.WARNING)  # what a worker says, progress bars too, is read by nobody
    make_repeatable(seed, deterministic=deterministic)


def require_folders(*folders: Path) -> None:
    """Check, in a worker, that its node sees the folders.

    Raises:
        UserError: the node does not have one of them.
    """
    import ray  # noqa: PLC0415

    for folder in folders:
        if not folder.is_dir():
            raise UserError(
                "Every node of the cluster must see the images under the same path.",
                "Put the checkout on a file system that all of them share.",
                f"no {folder} on node {ray.util.get_node_ip_address()}",
            )


def error_to_text(error: UserError) -> str:
    """A refusal as text, for the process that sent the work."""
    return json.dumps([error.rule, error.remedy, error.received], default=str)


def error_from_text(text: str) -> UserError:
    """The error that `error_to_text` made text of, to be raised where the work was sent from."""
    return UserError(*json.loads(text))
