"""A Ray cluster: an actor on each node embeds whole shards, this process writes them and keeps the ledger.

Nodes write nothing, so a shard is in the ledger once or not at all, whatever happens to them. The shards of an actor
that is lost are given to others.
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
from typing import Any

import ray
from ray.exceptions import NodeDiedError, ObjectLostError, OutOfMemoryError, RayActorError, RayError, RayTaskError
from ray.util import get_node_ip_address
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from ..errors import ClusterFailed
from ..settings import Settings
from .item_embedder import LoadModel
from .items import SourceItem, reason
from .ledger import FinishedShard, Ledger, ModelIdentity
from .progress import Progress
from .run import OutputSpec, PendingShard, missing_shards
from .shard_embedder import ShardEmbedder

SHARDS_PER_ACTOR = 2  # at once: while the first is finished, the second keeps the processors busy
MAX_LOSSES = 3  # of actors that had the same shard; also of actors in a row that ended while they started
POLL_SECONDS = 2.0  # between two looks for new nodes
MAX_IDLE_SECONDS = 300.0  # without any actor that works
CONNECT_SECONDS = 10.0

ACTOR_LOST = (RayActorError, NodeDiedError, ObjectLostError, OutOfMemoryError)


@dataclass
class _Actor:
    handle: Any
    node_id: str
    node: str  # its address
    starting: Any  # the reference of the result of `start`; None once that is here
    shards: dict[Any, PendingShard] = field(default_factory=dict)  # by the reference of the result of `embed`


class Cluster:
    """Embeds on all nodes. Its actors take THREADS processors each; by default one actor takes a node's.

    sources: paths that each node must have.
    Raises ClusterFailed, with the node's address, if a node has not the sources, cannot load the model or computes
    with another one.
    """

    def __init__(self, address: str, settings: Settings, sources: Sequence[str], load: LoadModel) -> None:
        self._settings, self._sources, self._load = settings, list(sources), load
        self._actors: list[_Actor] = []
        self._lost_shards: deque[PendingShard] = deque()
        self._failed_starts = 0
        self._losses: Counter[int] = Counter()  # of actors, by the number of a shard that they had
        self._looked_at = -POLL_SECONDS
        self._worked_at = time.monotonic()
        self._model: ModelIdentity | None = None
        self._to_undo = contextlib.ExitStack()
        # Ray prints on stdout, in colour, that an actor ended; the progress has a warning of its own.
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
    def model(self) -> ModelIdentity:
        assert self._model is not None, "__init__ waits for it"
        return self._model

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        for actor in self._actors:
            _end(actor)
        ray.shutdown()
        self._to_undo.close()

    def write_missing_shards(
        self, items: Iterable[SourceItem], ledger: Ledger, output: OutputSpec, progress: Progress
    ) -> None:
        """Write every shard that the ledger lacks. Raises ClusterFailed, CannotWrite, InvalidSource."""
        shards = missing_shards(items, ledger, output.shard_rows)
        while True:
            self._look_for_nodes()
            self._assign(shards, output)
            if not any(actor.shards for actor in self._actors) and not self._lost_shards:
                if (shard := next(shards, None)) is None:
                    return
                self._lost_shards.append(shard)  # no actor had room; the next one that has takes it
            for number, finished in self._wait(progress):
                ledger.add(number, finished)
                progress.add(finished.rows, finished.failures)

    def _assign(self, shards: Iterator[PendingShard], output: OutputSpec) -> None:
        """Give each actor shards up to SHARDS_PER_ACTOR, those with the fewest first."""
        for _ in range(SHARDS_PER_ACTOR):
            for actor in sorted(self._actors, key=lambda actor: len(actor.shards)):
                if actor.starting is not None or len(actor.shards) == SHARDS_PER_ACTOR:
                    continue
                shard = self._lost_shards.popleft() if self._lost_shards else next(shards, None)
                if shard is None:
                    return
                actor.shards[actor.handle.embed.remote(shard.items, output)] = shard

    def _wait(self, progress: Progress) -> list[tuple[int, FinishedShard]]:
        """Wait up to POLL_SECONDS for an actor that started, a finished shard (its number comes first), or a loss."""
        owners = {reference: actor for actor in self._actors for reference in actor.shards}
        owners |= {actor.starting: actor for actor in self._actors if actor.starting is not None}
        if not owners:
            self._check_idle_time()
            time.sleep(POLL_SECONDS / 4)
            return []
        ready, _ = ray.wait(list(owners), num_returns=1, timeout=POLL_SECONDS)
        finished = []
        for reference in ready:
            actor = owners[reference]
            try:
                result = ray.get(reference)
            except ACTOR_LOST as error:
                self._remove(actor, error, progress)
                continue
            except RayTaskError as error:
                raise ClusterFailed(f"node {actor.node}: {_cause(error)}") from error
            self._worked_at = time.monotonic()
            if reference is actor.starting:
                self._started(actor, result)
            else:
                finished.append((actor.shards.pop(reference).number, result))
        self._check_idle_time()
        return finished

    def _started(self, actor: _Actor, model: ModelIdentity) -> None:
        if self._model is None:
            self._model = model
        if model != self._model:
            raise ClusterFailed(
                f"node {actor.node} computes with fingerprint {model.fingerprint} ({model.precision}), another node "
                f"with {self._model.fingerprint} ({self._model.precision}). Give all nodes the same model files, and "
                "set PRECISION if their processors differ"
            )
        actor.starting = None
        self._failed_starts = 0

    def _remove(self, actor: _Actor, error: RayError, progress: Progress) -> None:
        """Take the shards of a lost actor back."""
        if actor not in self._actors:  # removed already: each of its shards reports the loss
            return
        self._actors.remove(actor)
        _end(actor)
        if actor.starting is not None:
            self._failed_starts += 1
            if self._failed_starts == MAX_LOSSES:
                raise ClusterFailed(f"node {actor.node}: the worker ended while it started: {_cause(error)}") from error
            return
        numbers = sorted(shard.number for shard in actor.shards.values())
        self._lost_shards.extend(actor.shards.values())
        self._losses.update(numbers)
        for number in numbers:
            if self._losses[number] == MAX_LOSSES:
                raise ClusterFailed(
                    f"node {actor.node}: shard {number} crashed three workers: {_cause(error)}"
                ) from error
        progress.warn(f"node {actor.node}: a worker is gone; others take its shards {numbers}")

    def _look_for_nodes(self) -> None:
        """Start actors on new nodes, and on nodes that lost some."""
        if time.monotonic() - self._looked_at < POLL_SECONDS:
            return
        self._looked_at = time.monotonic()
        nodes = [node for node in ray.nodes() if node["Alive"]]
        wanted = {node["NodeID"]: actors_on(node["Resources"], self._settings) for node in nodes}
        if not any(count for count, _ in wanted.values()):
            largest = max((int(node["Resources"].get("CPU", 0)) for node in nodes), default=0)
            if nodes and largest and self._settings.threads > largest:
                raise ClusterFailed(f"THREADS={self._settings.threads}: the largest node has {largest} processors")
        present = Counter(actor.node_id for actor in self._actors)
        for node in nodes:
            count, processors = wanted[node["NodeID"]]
            for _ in range(present[node["NodeID"]], count):
                self._actors.append(self._start_actor(node, processors))

    def _start_actor(self, node: dict[str, Any], processors: int) -> _Actor:
        handle = (
            ray.remote(ShardEmbedder)
            .options(
                num_cpus=processors,
                num_gpus=1 if self._settings.device == "cuda" else 0,
                max_concurrency=SHARDS_PER_ACTOR,
                max_restarts=0,
                scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False),
            )
            .remote(self._load, self._settings.model_copy(update={"threads": processors}), os.getcwd(), self._sources)
        )
        address = f"{node['NodeManagerAddress']}:{node['NodeManagerPort']}"
        return _Actor(handle, node["NodeID"], address, handle.start.remote())

    def _check_idle_time(self) -> None:
        busy = any(actor.shards for actor in self._actors)
        if not busy and time.monotonic() - self._worked_at > MAX_IDLE_SECONDS:
            raise ClusterFailed(f"no node had room for a worker for {MAX_IDLE_SECONDS:g} seconds: see `ray status`")


def actors_on(resources: dict[str, float], settings: Settings) -> tuple[int, int]:
    """How many actors a node gets, and how many processors each of them; with DEVICE=cuda at most one for each GPU."""
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
        try:  # Ray itself would retry for minutes
            socket.create_connection(_reached(address), CONNECT_SECONDS).close()
        except (OSError, ValueError) as error:
            raise ClusterFailed(f"--ray {address}: {reason(error)}") from error
    try:
        ray.init(address, configure_logging=False, log_to_driver=False)
    except ConnectionError as error:
        raise ClusterFailed(
            "--ray: no Ray cluster runs here: start one with `ray start --head`, or name its HOST:PORT"
        ) from error
    except (RayError, RuntimeError) as error:  # such as another version of Ray or Python
        raise ClusterFailed(f"--ray {address}: {reason(error)}") from error


def _reached(address: str) -> tuple[str, int]:
    """Where Ray connects to: instead of this machine's loopback address it takes the machine's other address."""
    host, _, port = address.rpartition(":")
    return get_node_ip_address() if host in ("127.0.0.1", "localhost", "[::1]") else host.strip("[]"), int(port)


def _cause(error: BaseException) -> str:
    """One line: the error that the actor raised, or the last line of Ray's message."""
    if isinstance(error, RayTaskError) and error.cause is not None:
        return reason(error.cause)
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1][:300] if lines else type(error).__name__


def _end(actor: _Actor) -> None:
    with contextlib.suppress(RayError, ValueError):
        ray.kill(actor.handle)
