"""Workers that take connections from one socket."""

from __future__ import annotations

import asyncio
import socket
from contextlib import ExitStack

import anyio

from openclip_api.server.acceptor import Acceptor


class Counted(asyncio.Protocol):
    def __init__(self, open_connections: set[asyncio.Protocol]) -> None:
        self._open = open_connections

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._open.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._open.discard(self)


async def until(condition) -> None:
    with anyio.fail_after(20):
        while not condition():
            await asyncio.sleep(0.001)


async def taken(workers: list[bool], clients: int) -> list[int]:
    """How many connections each has, of those that take some; what the others have told does not count."""
    shares = memoryview(bytearray(8 * len(workers))).cast("q")
    kept: list[set[asyncio.Protocol]] = [set() for _ in workers]
    with ExitStack() as sockets:
        listening = sockets.enter_context(socket.create_server(("127.0.0.1", 0)))
        acceptors = []
        for number, takes_some in enumerate(workers):
            own = sockets.enter_context(listening.dup())
            if takes_some:
                count, make = (lambda number=number: len(kept[number])), (lambda number=number: Counted(kept[number]))
                acceptors.append(Acceptor(own, shares, number, count, make))
        for _ in range(clients):
            sockets.enter_context(socket.create_connection(listening.getsockname()))
        await until(lambda: sum(map(len, kept)) == clients)
        found = [len(connections) for connections in kept]
        for acceptor in acceptors:
            acceptor.close()
        assert not any(shares)
    await until(lambda: not any(kept))
    return found


def test_each_gets_a_fair_part():
    """Not half of them to the last one: on a busy machine a worker that has fewer may come too late for some."""
    assert min(asyncio.run(taken([True, True], 40))) >= 10
    assert min(asyncio.run(taken([True, True, True], 60))) >= 10


def test_one_that_takes_none_is_not_waited_for():
    assert asyncio.run(taken([False, True], 8)) == [0, 8]
