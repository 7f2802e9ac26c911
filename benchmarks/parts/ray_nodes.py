"""Ray nodes on this machine, a core each: for tests that are marked slow, and to measure with."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

# Ray makes itself a token the first time that it starts by itself, and clusters ask for it from then on.
OPEN = {"RAY_AUTH_MODE": "disabled"}
STARTS_S = 300.0  # where the machine is at other work too
_ALIVE = 0  # of Ray's GcsNodeInfo.GcsNodeState
RAY = Path(sys.executable).parent / "ray"


class Cluster:
    """address: of the head, for RAY_ADDRESS; nodes that are up when a call returns."""

    def __init__(self, folder: Path, nodes: int = 2) -> None:
        """Start them; folder is a short path, for Ray's sockets have 107 bytes."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.address, self._folder = f"127.0.0.1:{port}", folder
        self._nodes: list[subprocess.Popen[bytes]] = []
        try:
            self._start("--head", f"--port={port}", "--include-dashboard=false", f"--temp-dir={folder}")
            for _ in range(1, nodes):
                self.add()
        except BaseException:
            self.stop()
            raise

    def add(self) -> None:
        """A second node, or a third. It returns once the cluster has noticed those that were killed, 15 s later."""
        self._start(f"--address={self.address}")
        self._wait_for_members()

    def kill(self, node: int) -> None:
        """SIGKILL to every process of a node at once, as if its machine had lost its power."""
        _kill(self._nodes[node])

    def pin(self) -> None:
        """A core of this machine for each node, in turn: Ray counts cores, and holds nobody to them."""
        cores = sorted(os.sched_getaffinity(0))
        for number, node in enumerate(self._nodes):
            for process in _family(node):
                process.cpu_affinity([cores[number % len(cores)]])

    def stop(self) -> None:
        for node in reversed(self._nodes):
            _kill(node)

    def _wait_for_members(self) -> None:
        """Until the head knows which nodes are up: it would send work to a node that was killed just now."""
        from ray._raylet import GcsClient  # type: ignore[attr-defined]  # noqa: PLC0415 - an extra

        head, until = GcsClient(address=self.address), time.monotonic() + STARTS_S
        up = sum(node.poll() is None for node in self._nodes)
        while sum(node.state == _ALIVE for node in head.get_all_node_info(timeout=STARTS_S).values()) != up:
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
        until = time.monotonic() + STARTS_S
        while "Ray runtime started" not in log.read_text(encoding="utf-8"):
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(log.read_text(encoding="utf-8"))
            time.sleep(0.1)


@contextmanager
def started(nodes: int = 2) -> Iterator[Cluster]:
    """A cluster for as long as the block lasts, with a folder of its own."""
    folder = Path(tempfile.mkdtemp(prefix="rw", dir="/tmp"))  # a socket's path has 107 bytes
    try:
        cluster = Cluster(folder, nodes)
        try:
            yield cluster
        finally:
            cluster.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _family(node: subprocess.Popen[bytes]) -> list[psutil.Process]:
    try:
        parent = psutil.Process(node.pid)
        return [parent, *parent.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _kill(node: subprocess.Popen[bytes]) -> None:
    family = _family(node)
    for process in family:
        try:
            process.send_signal(signal.SIGKILL)
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(family, timeout=10)
    node.wait()
