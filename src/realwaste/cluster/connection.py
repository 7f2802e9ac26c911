"""Connecting to a Ray cluster: the one at RAY_ADDRESS, or one that is started on this machine and stopped afterwards.

The workers import a copy of this package, which Ray sends to them.
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
_CONNECT_TIMEOUT_S = 10
# If a token is missing, Ray says only that it failed to connect.
_AUTHENTICATION_HINT = " If the cluster requires a token, its ~/.ray/auth_token must be here too."
_PACKAGE = Path(__file__).resolve().parent.parent
# Environment variables that change results or logging, passed on to the workers.
_FORWARDED = ("TF_CPP_MIN_LOG_LEVEL", "TF_ENABLE_ONEDNN_OPTS")

# Read by Ray when it is imported or starts; a variable that the user has set is not changed.
_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    # Ray would write about restarts that may fail to standard error, past every logger; real failures raise.
    "RAY_BACKEND_LOG_LEVEL": "fatal",
    # Tune would write every report to three more files, and frames to standard output.
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "RAY_AIR_NEW_OUTPUT": "0",
}


def require_ray() -> None:
    """Check that Ray is installed, before anything that takes long.

    Raises:
        UserError: Ray is not installed.
    """
    if importlib.util.find_spec("ray") is None:
        rule = "base.engine=ray needs Ray."
        raise UserError(rule, "Run `make setup-dev`, or pip install '.[ray]', in the checkout.", "Ray is not installed")


@contextmanager
def connected() -> Iterator[None]:
    """Connect to a Ray cluster for the duration of the block; a cluster started here is stopped at its end.

    Raises:
        UserError: Ray is not installed, no cluster is at RAY_ADDRESS, or it is of another version.
    """
    require_ray()
    address = os.environ.get(ADDRESS)
    _check_listening(address)
    # Ray finds its token by itself, but does not send it to a cluster that RAY_ADDRESS names.
    with _defaults(_QUIET | ({AUTHENTICATION: "token"} if address and _has_token() else {})):
        import ray  # noqa: PLC0415 - an extra

        # Without "local" Ray would join any cluster that was started on this machine.
        target: dict[str, Any] = {"address": address} if address else {"address": "local", "include_dashboard": False}
        try:
            ray.init(**target, runtime_env=_environment(), log_to_driver=False, logging_level=logging.ERROR)
        except (ConnectionError, RuntimeError, TimeoutError, ValueError, ray.exceptions.RayError) as error:
            ray.shutdown()
            raise _unreachable(address, str(error), _AUTHENTICATION_HINT) from error
        try:
            yield
        finally:
            ray.shutdown()


@contextmanager
def _defaults(variables: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables that are not set, for the duration of the block."""
    added = {name: value for name, value in variables.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)


def count_cpus() -> int:
    """The number of cores of all nodes; at least one."""
    return max(1, sum(cores_per_node()))


def cores_per_node() -> list[int]:
    """The number of cores of each node that is alive and has any, as counted by Ray."""
    import ray  # noqa: PLC0415

    counts = [int(node["Resources"].get("CPU", 0)) for node in ray.nodes() if node["Alive"]]
    return [count for count in counts if count]


def _has_token() -> bool:
    """Whether there is a token where Ray looks for one."""
    variable = os.environ.get("RAY_AUTH_TOKEN") or os.environ.get("RAY_AUTH_TOKEN_PATH")
    return bool(variable) or Path("~/.ray/auth_token").expanduser().is_file()


def _environment() -> dict[str, Any]:
    """The workers' environment: a copy of this package, whatever is installed on their nodes."""
    variables = {name: os.environ[name] for name in _FORWARDED if name in os.environ}
    return {"py_modules": [str(_PACKAGE)], "env_vars": variables}


def _check_listening(address: str | None) -> None:
    """Fail at once if nothing listens at the address: Ray itself would try for five minutes."""
    match = re.fullmatch(r"(?:ray://)?\[?([^/]+?)\]?:(\d+)", address or "")
    if match is None:
        return
    try:
        socket.create_connection((match[1], int(match[2])), timeout=_CONNECT_TIMEOUT_S).close()
    except OSError as error:
        raise _unreachable(address, str(error)) from error


def _unreachable(address: str | None, reason: str, hint: str = "") -> UserError:
    shortened = " ".join(reason.split())[:120]
    if address is None:
        rule, remedy = "Ray must start on this machine.", "Set base.engine=local, or fix the reported problem."
        return UserError(rule, remedy, shortened)
    rule = f"{ADDRESS} must be the address of a running Ray cluster with the same versions of Ray and Python."
    remedy = f"Start one (`ray start --head`), or unset it: Ray then starts on this machine.{hint}"
    return UserError(rule, remedy, f"{address}: {shortened}")
