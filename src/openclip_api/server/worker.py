"""This process as one of the server's WORKERS. Each is a whole server; a supervisor has started them."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from typing import Protocol

import anyio
from prometheus_client.core import Metric

from ..runtime.count import Count
from . import channel
from .acceptor import Acceptor
from .summed_metrics import packed, unpacked
from .worker_table import QueueCounts, WorkerTable

FIGURES_SECONDS = 1  # in which another worker must have told its figures
LOOK_SECONDS = 1  # between looks at the engine, whether it hangs


class Stoppable(Protocol):
    def stop(self) -> None: ...

    def hurry(self) -> None: ...


class Worker:
    """settings: of this process: its share of the threads and of the text cache.

    takes_requests_at_once: see channel.Start.
    """

    def __init__(self, fd: int) -> None:
        """fd: of the channel to the supervisor. Raises ConnectionError if that has ended."""
        self._channel = socket.socket(fileno=fd)
        start, listening, table = channel.receive_start(self._channel)
        if start.cpus:
            with suppress(OSError):  # a container's set of cores may have changed since
                os.sched_setaffinity(0, start.cpus)
        self.settings, self.number, self.workers = start.settings, start.number, start.workers
        self.takes_requests_at_once = start.takes_requests_at_once
        self.listening = socket.socket(fileno=listening)
        self._table = WorkerTable(table, start.workers, start.models)

    @property
    def all_are_ready(self) -> bool:
        """Or were: one that ends later is replaced, while the others answer."""
        return self._table.is_serving

    @property
    def body_bytes(self) -> Count:
        return self._table.body_bytes(self.number)

    def accept(self, count: Callable[[], int], make: Callable[[], asyncio.Protocol]) -> Acceptor:
        """Take connections from now on. See Acceptor."""
        return Acceptor(self.listening, self._table.connections, self.number, count, make)

    def queue(self, model: int) -> QueueCounts:
        return self._table.queue(model, self.number)

    def follow(
        self, server: Stoppable, figures: Callable[[], Sequence[Metric]], is_hanging: Callable[[], bool]
    ) -> None:
        """Do what the supervisor says, in a thread. The process ends when the supervisor has, or when `is_hanging`."""
        self._channel.settimeout(LOOK_SECONDS)

        def obey() -> None:
            while True:
                try:
                    message, fds = channel.receive(self._channel)
                except TimeoutError:
                    if is_hanging():
                        os._exit(channel.HANGING)
                    continue
                match message:
                    case None:
                        os._exit(1)
                    case b"figures":
                        for fd in fds:  # none where this process has no descriptor left
                            _tell(fd, figures)
                    case b"stop":
                        server.stop()
                    case b"hurry":
                        server.hurry()

        threading.Thread(target=obey, name="supervisor", daemon=True).start()

    def tell_ready(self) -> None:
        channel.send(self._channel, b"ready")

    async def figures_of_others(self) -> list[list[Metric]]:
        """What the other workers count. One that does not tell within FIGURES_SECONDS is left out."""
        with ExitStack() as open_sockets:
            pairs = []
            with suppress(OSError):  # no descriptor left
                for _ in range(self.workers - 1):
                    ours, theirs = socket.socketpair()
                    pairs.append((open_sockets.enter_context(ours), open_sockets.enter_context(theirs)))
            channel.send(self._channel, b"figures", [theirs.fileno() for _, theirs in pairs])
            for ours, theirs in pairs:
                theirs.close()
                ours.setblocking(False)
            told = await asyncio.gather(*(_told(ours) for ours, _ in pairs))
        return [unpacked(data) for data in told if data is not None]


async def _told(ours: socket.socket) -> bytes | None:
    """All that comes, or None where nothing does, or where it breaks off."""
    loop, parts = asyncio.get_running_loop(), []
    with anyio.move_on_after(FIGURES_SECONDS), suppress(OSError):
        while part := await loop.sock_recv(ours, 1 << 16):
            parts.append(part)
        return b"".join(parts) or None
    return None


def _tell(fd: int, figures: Callable[[], Sequence[Metric]]) -> None:
    with socket.socket(fileno=fd) as asking, suppress(Exception):  # whatever fails, the thread must go on
        asking.settimeout(FIGURES_SECONDS)
        asking.sendall(packed(figures()))
