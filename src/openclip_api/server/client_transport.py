"""The transport between uvicorn's connection and its socket: its close() loses no answer."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from typing import Any

LINGER_SECONDS = 30
LINGER_STEP_SECONDS = 2
LINGER_STEP_BYTES = 20_000  # a client that sends less in a step has stopped, or only wants to stay
STOPPING_SECONDS = 1
MOST_LINGERING = 128
ANSWER = b"HTTP/1.1 "  # how each answer begins


class ClientTransport(asyncio.Transport):
    """Writes to `transport`. close() closes it, unless `lingers` returns True: then it only ends the answer (FIN)."""

    def __init__(self, transport: asyncio.Transport, lingers: Callable[[], bool]) -> None:
        super().__init__()
        self._transport = transport
        self._lingers = lingers
        self._is_lingering = self._answer_begun = False

    def write(self, data: Any) -> None:
        if self._is_lingering:
            return
        if self._answer_begun:
            self._answer_begun = False
            data = bytes(data).removeprefix(ANSWER)
        self._transport.write(data)

    def begin_answer(self) -> None:
        """Send the bytes that each answer begins with. A client that has left answers with a reset."""
        if not self._answer_begun:
            self._transport.write(ANSWER)
            self._answer_begun = True

    def was_reset(self) -> bool:
        connection: socket.socket = self._transport.get_extra_info("socket")
        return connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) != 0

    def close(self) -> None:
        if self.is_closing():
            return
        if not self._lingers():
            self._transport.close()
            return
        self._is_lingering = True
        with contextlib.suppress(OSError, RuntimeError):  # the client is gone already
            self._transport.write_eof()

    def abort(self) -> None:
        self._transport.abort()

    def is_closing(self) -> bool:
        return self._is_lingering or self._transport.is_closing()

    def pause_reading(self) -> None:
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        self._transport.resume_reading()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._transport.get_extra_info(name, default)


class Lingering:
    """The connections that are answered while their client still sends.

    If they were closed at once, the client's next bytes would meet a closed socket, and a reset would take the answer
    from it. So what comes is read and thrown away: for LINGER_SECONDS and `max_bytes` at most, and while it comes at
    some speed. There are MOST_LINGERING at once; beyond it the one that began first ends.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self._all: dict[Linger, None] = {}

    def start(self, transport: ClientTransport, seconds: float) -> Linger:
        while len(self._all) >= MOST_LINGERING:
            next(iter(self._all)).end()
        linger = Linger(transport, self.max_bytes, self._all.pop)
        linger.end_within(seconds)
        self._all[linger] = None
        return linger


class Linger:
    """One of them. `forget` is called with it at its end."""

    def __init__(self, transport: ClientTransport, max_bytes: int, forget: Callable[[Linger, None], None]) -> None:
        self._transport = transport
        self._bytes_left = max_bytes
        self._forget = forget
        self._step_bytes = 0
        self._loop = asyncio.get_running_loop()
        self._deadline = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def end_within(self, seconds: float) -> None:
        self._deadline = self._loop.time() + seconds
        self.stop_timer()
        self._timer = self._loop.call_later(min(seconds, LINGER_STEP_SECONDS), self._step)

    def received(self, count: int) -> None:
        self._step_bytes += count
        self._bytes_left -= count
        if self._bytes_left < 0:
            self.end()

    def end(self) -> None:
        self.stop()
        self._transport.abort()

    def stop(self) -> None:
        """The connection is closed."""
        self.stop_timer()
        self._forget(self, None)

    def stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _step(self) -> None:
        left = self._deadline - self._loop.time()
        if left <= 0 or self._step_bytes < LINGER_STEP_BYTES:
            self.end()
            return
        self._step_bytes = 0
        self._timer = self._loop.call_later(min(left, LINGER_STEP_SECONDS), self._step)
