"""WORKERS: several whole servers in processes of their own, which accept from one socket, and who looks after them.

The first worker starts alone and takes requests at once, as a server without workers does: so a download happens once,
and /ready tells how far it is. The others start when it is ready, and accept when they are.
"""

from __future__ import annotations

import logging
import os
import selectors
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

from ..settings import Settings
from . import channel
from .channel import Start
from .core_shares import shares
from .listening import listen, url_of
from .log import logging_to_stderr
from .worker_slot import WorkerSlot, told
from .worker_table import WorkerTable

log = logging.getLogger("openclip_api")

CLOSING_SECONDS = 8  # after the grace, for the last answers and for closing
MODULE = "openclip_api.server.worker_process"


def supervise(settings: Settings, workers: int, module: str = MODULE) -> int:
    """Serve with so many workers until SIGTERM or SIGINT. module: what `python -m` starts as a worker.

    Returns the exit code: 1 if a worker could not start at first, or if one left requests unanswered at the end.
    Raises InvalidSetting.
    """
    models = len(settings.served_models)
    with logging_to_stderr(settings.log_level, settings.log_format), listen(settings.host, settings.port) as listening:
        return Supervisor(settings, workers, module, listening, WorkerTable.create(workers, models)).run()


class Supervisor:
    """Also forwards between workers that ask for each other's figures."""

    def __init__(
        self, settings: Settings, workers: int, module: str, listening: socket.socket, table: WorkerTable
    ) -> None:
        self._settings = settings
        self._models = len(settings.served_models)
        self._listening, self._table = listening, table
        self._shares = shares(workers)
        self._slots = [WorkerSlot(module) for _ in range(workers)]
        self._selector = selectors.DefaultSelector()
        self._is_stopping = False
        self._deadline: float | None = None  # then all are killed
        self._code = 0

    def run(self) -> int:
        with self._selector, _signals() as signals:
            self._selector.register(signals, selectors.EVENT_READ)
            self._start(0)
            while any(slot.channel is not None or slot.due is not None for slot in self._slots):
                for key, _ in self._selector.select(self._seconds_to_wait()):
                    if key.data is None:
                        for _signal in signals.recv(100):
                            self._told_to_stop()
                    else:
                        self._read(key.data)
                self._keep_times(time.monotonic())
        return self._code

    def _keep_times(self, now: float) -> None:
        for index, slot in enumerate(self._slots):
            if slot.due is not None and slot.due <= now:
                self._start(index)
        if self._deadline is not None and self._deadline <= now:
            self._deadline, self._code = None, 1
            for slot in self._slots:
                slot.kill()

    def _start(self, index: int) -> None:
        share, settings, slot = self._shares[index], self._settings, self._slots[index]
        count = len(self._slots)
        own = settings.model_copy(
            update={
                "threads": settings.threads or share.threads,
                "text_cache_mb": settings.text_cache_mb / count,
            }
        )
        at_once = index == 0 and not slot.was_ready
        try:
            start = Start(own, index, count, self._models, at_once, share.cpus)
            slot.start(start, self._listening.fileno(), self._table.fd)
        except OSError as error:
            self._lost(index, f"could not be started ({error.strerror})", -1)
            return
        assert slot.channel is not None
        self._selector.register(slot.channel, selectors.EVENT_READ, index)

    def _read(self, index: int) -> None:
        slot = self._slots[index]
        assert slot.channel is not None
        try:
            message, fds = channel.receive(slot.channel)
        except BlockingIOError:
            return
        if message is None:
            self._selector.unregister(slot.channel)
            code = slot.ended()
            self._table.forget(index)
            self._lost(index, told(code), code)
        elif message == b"ready":
            self._became_ready(index)
        else:
            self._forward(index, fds)

    def _became_ready(self, index: int) -> None:
        slot = self._slots[index]
        slot.became_ready()
        if self._is_stopping:
            return
        if self._table.is_serving:
            log.info("openclip-api: worker %d is ready again", index)
        elif all(slot.was_ready for slot in self._slots):
            self._table.set_serving()
            log.info("openclip-api: all %d workers are ready at %s", len(self._slots), url_of(self._listening))
        elif index == 0:
            for other in self._slots[1:]:
                if other.channel is None:
                    other.due = 0

    def _forward(self, index: int, fds: list[int]) -> None:
        """Each of the others gets one descriptor, into which it writes its figures."""
        others = [slot for number, slot in enumerate(self._slots) if number != index]
        for slot, fd in zip(others, fds, strict=False):
            slot.tell(b"figures", fd)
        for fd in fds:
            os.close(fd)

    def _lost(self, index: int, how: str, code: int) -> None:
        slot = self._slots[index]
        if self._is_stopping:
            self._code = self._code or int(slot.is_told and code != 0)
        elif self._table.is_serving or slot.was_ready:
            pause = slot.start_later()
            log.warning("openclip-api: worker %d %s; the next one starts in %.1f s", index, how, pause)
        else:
            if code != 1:  # else it has said why
                count = len(self._slots)
                log.error(
                    "openclip-api: worker %d %s while it started: does WORKERS=%d fit into memory?", index, how, count
                )
            self._stop(code=1)

    def _told_to_stop(self) -> None:
        if not self._is_stopping:
            self._stop()
            return
        self._deadline = time.monotonic() + CLOSING_SECONDS
        for slot in self._slots:
            slot.tell(b"hurry")

    def _stop(self, code: int = 0) -> None:
        self._is_stopping, self._code = True, code
        self._deadline = time.monotonic() + self._settings.grace_seconds + CLOSING_SECONDS
        self._listening.close()  # else clients would wait in it once the last worker has ended
        for slot in self._slots:
            slot.stop()

    def _seconds_to_wait(self) -> float | None:
        times = [slot.due for slot in self._slots if slot.due is not None]
        times += [] if self._deadline is None else [self._deadline]
        return max(0, min(times) - time.monotonic()) if times else None


@contextmanager
def _signals() -> Iterator[socket.socket]:
    """SIGTERM and SIGINT become bytes here. A handler alone would not end a `select`: Python goes on with it."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.setblocking(False)
        signal.set_wakeup_fd(theirs.fileno())
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: None)
        yield ours
        signal.set_wakeup_fd(-1)
