"""A Ray cluster: an actor on each node embeds whole shards, this process writes them and keeps the ledger.

Nothing is written elsewhere, so a shard is in the ledger once or not at all, whatever becomes of the nodes.
A shard whose actor is gone is given to another.
"""

from __future__ import annotations

import contextlib
import io
import os
import socket
import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, TypeAlias

import ray
from ray.exceptions import NodeDiedError, ObjectLostError, OutOfMemoryError, RayActorError, RayError, RayTaskError
from ray.util import get_node_ip_address
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from ..errors import ClusterFailed
from ..settings import Settings
from .engine import Model
from .items import Item, reason
from .job import Finished, Output, missing_shards
from .ledger import Ledger
from .progress import Progress
from .worker import Worker

AT_ONCE = 2  # shards in one actor: while one ends, the other keeps its engine busy
TRIES = 3  # actors that may end over one shard, or while they start, one after the other
LOOK_SECONDS = 2.0  # between two looks for nodes that came
PATIENCE = 300.0  # seconds without any actor that works
CONNECT_SECONDS = 10.0

GONE = (RayActorError, NodeDiedError, ObjectLostError, OutOfMemoryError)
Shard: TypeAlias = tuple[int, list[Item]]


@dataclass
class _Actor:
    handle: Any
    node_id: str
    node: str  # its address
    starting: Any  # the reference to what `start` gives; None once it is there
    shards: dict[Any, Shard] = field(default_factory=dict)  # by the reference to what `embed` gives


class Cluster:
    """Raises ClusterFailed, with the node's address: it has not the sources, cannot load the model, or loads another.

    sources: paths that each node must have. A node's actors take THREADS processors each, or one takes all.
    """

    def __init__(self, address: str, settings: Settings, sources: Sequence[str]) -> None:
        self._settings, self._sources = settings, list(sources)
        self._actors: list[_Actor] = []
        self._redo: deque[Shard] = deque()
        self._failed_starts = 0
        self._deaths: Counter[int] = Counter()  # by shard
        self._looked = -LOOK_SECONDS
        self._worked = time.monotonic()
        self._model: Model | None = None
        self._to_undo = contextlib.ExitStack()
        # what Ray says of an ended worker it prints on stdout, in colour; the warning says it
        self._to_undo.enter_context(contextlib.redirect_stdout(io.StringIO()))
        try:
            _connect(address)
            while self._model is None:
                self._look_for_nodes()
                self._wait(Progress("quiet", 0, 0, 0))
        except BaseException:
            self.__exit__()
            raise

    @property
    def model(self) -> Model:
        assert self._model is not None, "__init__ waits for it"
        return self._model

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        for actor in self._actors:
            _end(actor)
        ray.shutdown()
        self._to_undo.close()

    def run(self, items: Iterable[Item], ledger: Ledger, output: Output, progress: Progress) -> None:
        """Write every shard that the ledger lacks. Raises ClusterFailed, CannotWrite, InvalidSource."""
        shards = missing_shards(items, ledger, output.shard_rows)
        while True:
            self._look_for_nodes()
            self._give(shards, output)
            if not any(actor.shards for actor in self._actors) and not self._redo:
                if (shard := next(shards, None)) is None:
                    return
                self._redo.append(shard)
            for number, (rows, failures, files) in self._wait(progress):
                ledger.add(number, rows, failures, files)
                progress.add(rows, failures)

    def _give(self, shards: Iterator[Shard], output: Output) -> None:
        """To those that have the least to do."""
        for _ in range(AT_ONCE):
            for actor in sorted(self._actors, key=lambda actor: len(actor.shards)):
                if actor.starting is not None or len(actor.shards) == AT_ONCE:
                    continue
                shard = self._redo.popleft() if self._redo else next(shards, None)
                if shard is None:
                    return
                actor.shards[actor.handle.embed.remote(shard[1], output)] = shard

    def _wait(self, progress: Progress) -> list[tuple[int, Finished]]:
        """For at most LOOK_SECONDS, for what comes: started actors, finished shards, or the news that one is gone."""
        owners = {reference: actor for actor in self._actors for reference in actor.shards}
        owners |= {actor.starting: actor for actor in self._actors if actor.starting is not None}
        if not owners:
            self._check_patience()
            time.sleep(LOOK_SECONDS / 4)
            return []
        ready, _ = ray.wait(list(owners), num_returns=1, timeout=LOOK_SECONDS)
        finished = []
        for reference in ready:
            actor = owners[reference]
            try:
                result = ray.get(reference)
            except GONE as error:
                self._lose(actor, error, progress)
                continue
            except RayTaskError as error:
                raise ClusterFailed(f"node {actor.node}: {_cause(error)}") from error
            self._worked = time.monotonic()
            if reference is actor.starting:
                self._started(actor, result)
            else:
                finished.append((actor.shards.pop(reference)[0], result))
        self._check_patience()
        return finished

    def _started(self, actor: _Actor, model: Model) -> None:
        if self._model is None:
            self._model = model
        if model != self._model:
            raise ClusterFailed(
                f"node {actor.node} computes {model.id} in {model.precision} with fingerprint {model.fingerprint}, "
                f"another in {self._model.precision} with {self._model.fingerprint}: all must have the same files, "
                "and PRECISION must be set where processors differ"
            )
        actor.starting = None
        self._failed_starts = 0

    def _lose(self, actor: _Actor, error: RayError, progress: Progress) -> None:
        if actor not in self._actors:  # told already, by another of its shards
            return
        self._actors.remove(actor)
        _end(actor)
        if actor.starting is not None:
            self._failed_starts += 1
            if self._failed_starts == TRIES:
                raise ClusterFailed(f"node {actor.node}: the worker ends while it starts: {_cause(error)}") from error
            return
        numbers = sorted(number for number, _ in actor.shards.values())
        self._redo.extend(actor.shards.values())
        self._deaths.update(numbers)
        for number in numbers:
            if self._deaths[number] == TRIES:
                raise ClusterFailed(
                    f"node {actor.node}: shard {number} ended the third worker that computed it: {_cause(error)}"
                ) from error
        progress.warn(f"node {actor.node}: a worker is gone, what it had is given to others: shards {numbers}")

    def _look_for_nodes(self) -> None:
        """Actors for nodes that came, and for those that ended on a node that lives."""
        if time.monotonic() - self._looked < LOOK_SECONDS:
            return
        self._looked = time.monotonic()
        nodes = [node for node in ray.nodes() if node["Alive"]]
        wanted = {node["NodeID"]: places(node["Resources"], self._settings) for node in nodes}
        if not any(count for count, _ in wanted.values()):
            largest = max((int(node["Resources"].get("CPU", 0)) for node in nodes), default=0)
            if nodes and largest and self._settings.threads > largest:
                raise ClusterFailed(f"THREADS={self._settings.threads}: the largest node has {largest} processors")
        present = Counter(actor.node_id for actor in self._actors)
        for node in nodes:
            count, processors = wanted[node["NodeID"]]
            for _ in range(present[node["NodeID"]], count):
                self._actors.append(self._actor(node, processors))

    def _actor(self, node: dict[str, Any], processors: int) -> _Actor:
        handle = (
            ray.remote(Worker)
            .options(
                num_cpus=processors,
                num_gpus=1 if self._settings.device == "cuda" else 0,
                max_concurrency=AT_ONCE,
                max_restarts=0,
                scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False),
            )
            .remote(self._settings.model_copy(update={"threads": processors}), os.getcwd(), self._sources)
        )
        address = f"{node['NodeManagerAddress']}:{node['NodeManagerPort']}"
        return _Actor(handle, node["NodeID"], address, handle.start.remote())

    def _check_patience(self) -> None:
        busy = any(actor.shards for actor in self._actors)
        if not busy and time.monotonic() - self._worked > PATIENCE:
            raise ClusterFailed(f"no node has had room for a worker for {PATIENCE:g} seconds: see `ray status`")


def places(resources: dict[str, float], settings: Settings) -> tuple[int, int]:
    """How many actors a node gets, and how many processors each; with DEVICE=cuda one for each GPU at most."""
    processors, gpus = int(resources.get("CPU", 0)), int(resources.get("GPU", 0))
    most = gpus if settings.device == "cuda" else processors
    if not most or not processors:
        return 0, 0
    each = settings.threads or (max(1, processors // gpus) if settings.device == "cuda" else processors)
    return min(most, processors // each), each


def _connect(address: str) -> None:
    """Raises ClusterFailed."""
    if address == "auto":
        address = os.environ.get("RAY_ADDRESS", address)
    if address != "auto":
        try:  # Ray itself would try for minutes
            socket.create_connection(_reached(address), CONNECT_SECONDS).close()
        except (OSError, ValueError) as error:
            raise ClusterFailed(f"--ray {address}: {reason(error)}") from error
    try:
        ray.init(address, configure_logging=False, log_to_driver=False)
    except ConnectionError as error:
        raise ClusterFailed(
            "--ray: no Ray cluster runs here: start one with `ray start --head`, or name its HOST:PORT"
        ) from error
    except (RayError, RuntimeError) as error:  # another version of Ray or Python
        raise ClusterFailed(f"--ray {address}: {reason(error)}") from error


def _reached(address: str) -> tuple[str, int]:
    """Where Ray connects to: for this machine's loopback it takes the machine's other address."""
    host, _, port = address.rpartition(":")
    return get_node_ip_address() if host in ("127.0.0.1", "localhost", "[::1]") else host.strip("[]"), int(port)


def _cause(error: BaseException) -> str:
    """One line: what the worker raised, or the last that Ray tells."""
    if isinstance(error, RayTaskError) and error.cause is not None:
        return reason(error.cause)
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1][:300] if lines else type(error).__name__


def _end(actor: _Actor) -> None:
    with contextlib.suppress(RayError, ValueError):
        ray.kill(actor.handle)
