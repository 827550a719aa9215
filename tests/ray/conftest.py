"""A Ray cluster of several nodes on this machine. Ray has a venv of its own: see `make ray`."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

# Where Ray is not installed, as in .venv, there is nothing to collect.
collect_ignore_glob = [] if find_spec("ray") else ["test_*.py"]

SETTINGS = {"include_dashboard": False, "object_store_memory": 100_000_000}


def patiently(start: Callable[[], Any]) -> Any:
    """Ray gives a node thirty seconds to start, which is too short on a machine that is busy for a moment."""
    for tries_left in (2, 1, 0):
        try:
            return start()
        except Exception as error:
            if "timed out during startup" not in str(error) or not tries_left:
                raise
    return None


class Nodes:
    """A head without processors, and nodes with one each."""

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster

        os.environ.setdefault("RAY_agent_register_timeout_ms", "120000")  # a node ends where its agent takes longer
        head = {"num_cpus": 0, **SETTINGS}
        self._cluster = patiently(lambda: Cluster(initialize_head=True, head_node_args=head))
        self.address: str = self._cluster.address

    def add(self, **arguments: Any) -> Any:
        node = patiently(lambda: self._cluster.add_node(**{"num_cpus": 1, **SETTINGS} | arguments))
        self._cluster.wait_for_nodes(120)
        return node

    def kill(self, node: Any) -> int:
        """SIGKILL to its raylet and all that this has started, at once; how many were embedding."""
        workers = len(self.workers(node))
        for pid in family(node):
            os.kill(pid, signal.SIGKILL)
        self._cluster.remove_node(node, allow_graceful=False)  # its other processes, which compute nothing
        return workers

    def workers(self, *nodes: Any) -> list[int]:
        """The processes that embed, on these nodes, or on all."""
        processes = (pid for node in nodes or self._cluster.worker_nodes for pid in family(node))
        return [pid for pid in processes if Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"ray::ShardEmbedder")]

    def close(self) -> None:
        self._cluster.shutdown()


def family(node: Any) -> list[int]:
    """A node's raylet and all that this has started."""
    (raylet,) = (process.process.pid for process in node.all_processes["raylet"])
    return [raylet, *descendants(raylet)]


def descendants(pid: int) -> list[int]:
    children = [
        int(child) for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()
    ]
    return children + [grandchild for child in children for grandchild in descendants(child)]


@pytest.fixture
def nodes() -> Iterator[Nodes]:
    nodes = Nodes()
    try:
        yield nodes
    finally:
        nodes.close()


@pytest.fixture(scope="session")
def server(tiny: Path) -> Iterator[Any]:
    """As tests/conftest.py has it, on Ray Serve."""
    from .serving import RayServer

    nodes = Nodes()
    try:
        nodes.add(num_cpus=2)
        limits = {
            "MAX_TEXTS": 8,
            "MAX_PROMPTS": 64,
            "MAX_ITEMS": 8,
            "MAX_BODY_MB": 4,
            "MAX_IMAGE_MEGAPIXELS": 2,
            "THREADS": 1,
        }
        with RayServer(nodes.address, MODEL_NAME=f"local-dir:{tiny}", PRECISION="fp32", **limits) as process:
            yield process
    finally:
        nodes.close()
