"""How long a server lets others wait while it is at work."""

from __future__ import annotations

import contextlib
import socket
import threading
import time

from .process_tree import coreless_seconds

EVERY = 0.02  # seconds


class Health:
    """A client that asks /health again and again. It notes when it asked, when it was answered, and how long a thread
    of the server stood ready meanwhile and had no core."""

    def __init__(self, address: tuple[str, int], pid: int) -> None:
        self._address, self._pid = address, pid
        self._stop = threading.Event()
        self._answers: list[tuple[float, float, float]] = []  # asked, answered, without a core
        self._asked: tuple[float, dict[str, float]] | None = None
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._stop.set()

    def worst_tenth(self, since: float, is_busy: bool) -> float:
        """The median of the slowest tenth of the answers since then; one that is still awaited counts as it stands.

        is_busy: others use the machine too, so that what the server waited for a core is not its own fault.
        """
        answers = [answer for answer in self._answers if answer[1] >= since]
        if (asked := self._asked) is not None:
            answers.append((asked[0], time.monotonic(), self._without_core(asked[1])))
        took = [answered - asked - (without if is_busy else 0) for asked, answered, without in answers]
        took.sort(reverse=True)
        worst = took[: max(1, len(took) // 10)]
        return worst[len(worst) // 2] if worst else 0.0

    def forget(self) -> None:
        self._answers.clear()

    def _without_core(self, before: dict[str, float]) -> float:
        """Of the thread that waited longest."""
        now = coreless_seconds(self._pid)
        return max((now[thread] - before.get(thread, 0) for thread in now), default=0)

    def _watch(self) -> None:
        while not self._stop.is_set():
            with contextlib.suppress(OSError), socket.create_connection(self._address, timeout=120) as client:
                while not self._stop.wait(EVERY):
                    before = coreless_seconds(self._pid)
                    asked = time.monotonic()
                    self._asked = asked, before
                    client.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
                    received = b""
                    while not received.endswith(b"}"):
                        if not (part := client.recv(4096)):
                            raise ConnectionResetError
                        received += part
                    answered = time.monotonic()
                    self._asked = None
                    self._answers.append((asked, answered, self._without_core(before)))
            self._asked = None
