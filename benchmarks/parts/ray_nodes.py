"""Ray nodes on this machine, one core each, for slow tests and measurements."""

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

# Ray creates a token the first time it starts by itself, and clusters require it afterwards.
OPEN = {"RAY_AUTH_MODE": "disabled"}
START_TIMEOUT_S = 300.0  # long enough for a busy machine
_ALIVE = 0  # of Ray's GcsNodeInfo.GcsNodeState
RAY = Path(sys.executable).parent / "ray"


class Cluster:
    """A cluster whose nodes are up when a method returns; `address` is that of the head, for RAY_ADDRESS."""

    def __init__(self, folder: Path) -> None:
        """Without a node; `folder` must be a short path, since paths of Ray's sockets have at most 107 bytes."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        self.address, self._folder = f"127.0.0.1:{self._port}", folder
        self._nodes: list[subprocess.Popen[bytes]] = []

    def add(self) -> None:
        """Add a node, first the head. Returns after the cluster has noticed killed nodes, which takes 15 s."""
        if self._nodes:
            self._start(f"--address={self.address}")
        else:
            self._start("--head", f"--port={self._port}", "--include-dashboard=false", f"--temp-dir={self._folder}")
        self._wait_for_members()

    def kill(self, node: int) -> None:
        """Send SIGKILL to every process of a node, as if its machine had lost power."""
        _kill(self._nodes[node])

    def pin(self) -> None:
        """Pin each node to one core of this machine: Ray counts cores, but does not enforce them."""
        cores = sorted(os.sched_getaffinity(0))
        for number, node in enumerate(self._nodes):
            for process in _family(node):
                process.cpu_affinity([cores[number % len(cores)]])

    def stop(self) -> None:
        for node in reversed(self._nodes):
            _kill(node)

    def _wait_for_members(self) -> None:
        """Wait until the head knows which nodes are up: it would send work to a node that was just killed."""
        from ray._raylet import GcsClient  # type: ignore[attr-defined]  # noqa: PLC0415 - an extra

        head, until = GcsClient(address=self.address), time.monotonic() + START_TIMEOUT_S
        up = sum(node.poll() is None for node in self._nodes)
        while sum(node.state == _ALIVE for node in head.get_all_node_info(timeout=START_TIMEOUT_S).values()) != up:
            if time.monotonic() > until:
                raise RuntimeError(f"the head of {self.address} does not see {up} nodes")
            time.sleep(0.1)

    def _start(self, *arguments: str) -> None:
        log = self._folder / f"node{len(self._nodes)}.log"
        with log.open("wb") as file:
            process = subprocess.Popen(  # noqa: S603
                [str(RAY), "start", "--block", "--num-cpus=1", "--object-store-memory=200000000", *arguments],
                stdout=file,
                stderr=file,
                env=os.environ | {"RAY_USAGE_STATS_ENABLED": "0", **OPEN},
            )
        self._nodes.append(process)
        until = time.monotonic() + START_TIMEOUT_S
        while "Ray runtime started" not in log.read_text(encoding="utf-8"):
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(log.read_text(encoding="utf-8"))
            time.sleep(0.1)


@contextmanager
def started(nodes: int = 2) -> Iterator[Cluster]:
    """A cluster in a temporary folder while the block runs."""
    with tempfile.TemporaryDirectory(prefix="rw", dir="/tmp", ignore_cleanup_errors=True) as folder:  # a short path
        cluster = Cluster(Path(folder))
        try:
            for _ in range(nodes):
                cluster.add()
            yield cluster
        finally:
            cluster.stop()


def _family(node: subprocess.Popen[bytes]) -> list[psutil.Process]:
    try:
        parent = psutil.Process(node.pid)
        return [parent, *parent.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _kill(node: subprocess.Popen[bytes]) -> None:
    family = _family(node)
    for process in family:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(family, timeout=10)
    node.wait()
