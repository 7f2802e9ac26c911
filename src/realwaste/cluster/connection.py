"""A Ray cluster to work on: the one at RAY_ADDRESS, or one that is started on this machine and ends with the work.

Its workers import the package as it is here: Ray hands them a copy.
"""

import importlib.util
import logging
import os
import re
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from realwaste.core.errors import UserError

ADDRESS = "RAY_ADDRESS"
AUTHENTICATION = "RAY_AUTH_MODE"
_KNOCK_S = 10
# Ray says of it no more than that it failed to connect.
_ASKS = " Where a cluster asks for a token, its ~/.ray/auth_token must be here too."
_PACKAGE = Path(__file__).resolve().parent.parent
# What changes the bits, or what is said, and must be in the workers as it is here.
_HANDED_ON = ("TF_CPP_MIN_LOG_LEVEL", "TF_ENABLE_ONEDNN_OPTS")

# Read by Ray when it is imported or starts; whoever has set one is left with it.
_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    # It tells of restarts that might fail, on standard error and past every logger; what did fail comes as an error.
    "RAY_BACKEND_LOG_LEVEL": "fatal",
    # Tune would write every report to three more files, and frames to standard output.
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "RAY_AIR_NEW_OUTPUT": "0",
}


def require_ray() -> None:
    """Check that Ray is installed. Call it before anything that takes long.

    Raises:
        UserError: Ray is not installed.
    """
    if importlib.util.find_spec("ray") is None:
        raise UserError(
            "base.engine=ray needs Ray.",
            "Run `make setup-dev`, or pip install '.[ray]', in the checkout.",
            "no Ray here",
        )


@contextmanager
def connected() -> Iterator[None]:
    """Connect to a Ray cluster for as long as the block lasts; a cluster that this started on the machine ends with it.

    Raises:
        UserError: Ray is not installed, no cluster answers at RAY_ADDRESS, or it is of another version.
    """
    require_ray()
    address = os.environ.get(ADDRESS)
    _knock(address)
    # Ray finds its token by itself, but shows it only to a cluster whose address nobody has named.
    with _defaults(_QUIET | ({AUTHENTICATION: "token"} if address and _has_token() else {})):
        import ray  # noqa: PLC0415 - an extra

        # Without "local" Ray would join whatever cluster somebody has started on this machine.
        where: dict[str, Any] = {"address": address} if address else {"address": "local", "include_dashboard": False}
        try:
            ray.init(**where, runtime_env=_environment(), log_to_driver=False, logging_level=logging.ERROR)
        except (ConnectionError, RuntimeError, TimeoutError, ValueError, ray.exceptions.RayError) as error:
            ray.shutdown()
            raise _unreachable(address, str(error), _ASKS) from error
        try:
            yield
        finally:
            ray.shutdown()


@contextmanager
def _defaults(variables: Mapping[str, str]) -> Iterator[None]:
    """In the environment, where they are not set, for as long as the block lasts."""
    added = {name: value for name, value in variables.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)


def count_cpus() -> int:
    """The number of cores of all nodes together; at least one."""
    return max(1, sum(cores_per_node()))


def cores_per_node() -> list[int]:
    """The number of cores of each node that is alive and has any, as Ray counts them."""
    import ray  # noqa: PLC0415

    found = [int(node["Resources"].get("CPU", 0)) for node in ray.nodes() if node["Alive"]]
    return [count for count in found if count]


def _has_token() -> bool:
    """Whether a token lies where Ray looks for one."""
    named = os.environ.get("RAY_AUTH_TOKEN") or os.environ.get("RAY_AUTH_TOKEN_PATH")
    return bool(named) or Path("~/.ray/auth_token").expanduser().is_file()


def _environment() -> dict[str, Any]:
    """Of the workers: this package, whatever is installed on their nodes."""
    handed = {name: os.environ[name] for name in _HANDED_ON if name in os.environ}
    return {"py_modules": [str(_PACKAGE)], "env_vars": handed}


def _knock(address: str | None) -> None:
    """Ray itself tries for five minutes where nobody listens."""
    place = re.fullmatch(r"(?:ray://)?\[?([^/]+?)\]?:(\d+)", address or "")
    if place is None:
        return
    try:
        socket.create_connection((place[1], int(place[2])), timeout=_KNOCK_S).close()
    except OSError as error:
        raise _unreachable(address, str(error)) from error


def _unreachable(address: str | None, reason: str, cause: str = "") -> UserError:
    said = " ".join(reason.split())[:120]
    if address is None:
        return UserError("Ray must start on this machine.", "Set base.engine=local, or mend what it says.", said)
    return UserError(
        f"{ADDRESS} must be the address of a Ray cluster that runs, of this version of Ray and Python.",
        f"Start one (`ray start --head`), or unset it: Ray then starts on this machine.{cause}",
        f"{address}: {said}",
    )
