"""How a worker takes connections from the socket that it shares with the others: about as many as each of them has.

Whoever wakes first would take all that wait, as asyncio does. Of 8 clients that keep their connections one of two
workers got 6, and computed three times as much as the other.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable

log = logging.getLogger("openclip_api")

STEP_BACK_SECONDS = 0.01  # time enough for a worker that has fewer, also on a busy machine
SHORTAGE_SECONDS = 1


class Acceptor:
    """In place of asyncio's server.

    shares: for each worker one more than its connections, 0 while it takes none. number: of this worker.
    count: tells how many connections are open. make: makes a connection's protocol.
    """

    def __init__(
        self,
        listening: socket.socket,
        shares: memoryview[int],
        number: int,
        count: Callable[[], int],
        make: Callable[[], asyncio.Protocol],
    ) -> None:
        """Accepts from now on. Use it from the running event loop."""
        self._loop = asyncio.get_running_loop()
        self._listening = listening
        self._shares, self._number = shares, number
        self._count, self._make = count, make
        self._connecting: set[asyncio.Task[object]] = set()
        self._stepped_back = self._is_closed = False
        listening.setblocking(False)
        self.tell()
        self._look()

    def tell(self) -> None:
        """Let the others know how many connections there are. Call it from time to time: clients leave."""
        self._shares[self._number] = 0 if self._is_closed else 1 + self._count() + len(self._connecting)

    def close(self) -> None:
        self._is_closed = True
        self._loop.remove_reader(self._listening)
        self.tell()

    async def wait_closed(self) -> None:
        pass

    def _look(self) -> None:
        if not self._is_closed:
            self._loop.add_reader(self._listening, self._take_one)

    def _take_one(self) -> None:
        self.tell()
        is_ahead = self._shares[self._number] > min(filter(None, self._shares))
        self._stepped_back = is_ahead and not self._stepped_back
        if self._stepped_back:
            self._look_after(STEP_BACK_SECONDS)
            return
        try:
            connection, _ = self._listening.accept()
        except (BlockingIOError, ConnectionError):  # another worker has it, or its client has left
            return
        except OSError as error:
            log.warning("openclip-api: no connection can be accepted: %s", error.strerror)
            self._look_after(SHORTAGE_SECONDS)
            return
        task = self._loop.create_task(self._connect(connection))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)
        self.tell()

    async def _connect(self, connection: socket.socket) -> None:
        try:
            connection.setblocking(False)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await self._loop.connect_accepted_socket(self._make, connection)
        except OSError:  # its client has left
            connection.close()

    def _look_after(self, seconds: float) -> None:
        self._loop.remove_reader(self._listening)
        self._loop.call_later(seconds, self._look)
