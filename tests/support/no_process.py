"""An alarm for tests without the mark `process`: such a test may start no process and reach no other machine.

Python's audit events report both, whatever library causes them. multiprocessing raises none when it starts a process,
but goes through one function, which is replaced here. A test may still connect to a server in a thread of its own.
"""

from __future__ import annotations

import multiprocessing.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

STARTS = {"subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "os.exec", "os.system"}
THIS_MACHINE = ("127.", "::1", "::ffff:127.", "0.0.0.0", "localhost")


class NoProcess:
    """While `watching`, a forbidden call raises. `seen` keeps it, in case the code under test catches the error."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self._is_on = False
        sys.addaudithook(self._hear)
        spawn = multiprocessing.util.spawnv_passfds

        def watched(path: Any, args: Any, passfds: Any) -> int:
            self._refuse("multiprocessing's start of a process")
            return spawn(path, args, passfds)

        multiprocessing.util.spawnv_passfds = watched

    @contextmanager
    def watching(self) -> Iterator[None]:
        self.seen.clear()
        self._is_on = True
        try:
            yield
        finally:
            self._is_on = False
        assert not self.seen, f"{self.seen[0]} in a test without the mark `process`: see CONTRIBUTING.md, `make quick`"

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self._is_on:
            return
        if event in STARTS:
            self._refuse(" ".join([event, *map(str, arguments[:1])]))
        elif event == "socket.connect" and not _is_here(arguments[1]):
            self._refuse(f"a connection to {arguments[1][0]}")

    def _refuse(self, what: str) -> None:
        if self._is_on:
            self.seen.append(what)
            raise RuntimeError(f"{what} in a test without the mark `process`")


def _is_here(address: Any) -> bool:
    """A Unix socket's path, or this machine's own address."""
    return not isinstance(address, tuple) or str(address[0]).startswith(THIS_MACHINE)
