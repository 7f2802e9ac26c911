"""What a worker process on a node of the Ray cluster must have, and how it reports what is missing.

Every node must have the same library versions; otherwise results would depend on which node computed what. A UserError
is returned as a result, not raised: Ray would only keep the text of an exception, or would repeat the task. It is
returned as text, which all of Ray's channels can transport.
"""

import json
import logging
from collections.abc import Mapping
from pathlib import Path

from realwaste.core.errors import UserError
from realwaste.core.log import logger
from realwaste.runtime import determinism


def node_id() -> str:
    """The id of the node that this worker runs on, in hexadecimal."""
    import ray  # noqa: PLC0415

    return str(ray.get_runtime_context().get_node_id())


def match_sender(expected: Mapping[str, str], *, seed: int, deterministic: bool, threads: int) -> None:
    """Make this worker compute exactly as the sender of the task. Call it before TensorFlow computes anything.

    Args:
        expected: library_versions() of the sender.
        threads: that one operation may use; Ray reserves cores but does not enforce them.

    Raises:
        UserError: a library has another version.
    """
    require_versions(expected)
    import tensorflow as tf  # noqa: PLC0415 - connecting does not need it

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    logger.setLevel(logging.WARNING)  # nobody reads the logs and progress bars of a worker
    determinism.make_repeatable(seed, deterministic=deterministic)


def require_versions(expected: Mapping[str, str]) -> None:
    """Check that this worker has the library versions of the sender.

    Raises:
        UserError: a library has another version.
    """
    installed = determinism.library_versions(list(expected))
    if installed != dict(expected):
        differing = {name: version for name, version in installed.items() if version != expected[name]}
        raise UserError(
            "Every node of the cluster must have the libraries of the machine that starts the work.",
            "Run `make setup-dev` in a checkout of the same commit on each.",
            differing,
        )


def require_folders(*folders: Path) -> None:
    """Check that the node of this worker has the folders.

    Raises:
        UserError: one of them is missing.
    """
    import ray  # noqa: PLC0415

    for folder in folders:
        if not folder.is_dir():
            rule = "Every node of the cluster must see the images under the same path."
            remedy = "Put the checkout on a file system that all nodes share."
            raise UserError(rule, remedy, f"no {folder} on node {ray.util.get_node_ip_address()}")


def error_to_text(error: UserError) -> str:
    """A UserError as text, to return it to the sender of the task."""
    return json.dumps([error.rule, error.remedy, error.received], default=str)


def error_from_text(text: str) -> UserError:
    """The error of `error_to_text`, to be raised by the sender of the task."""
    return UserError(*json.loads(text))
