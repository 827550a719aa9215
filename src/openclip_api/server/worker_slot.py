"""One worker as its supervisor sees it: a process that is started, told things, and started again."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time

from . import channel
from .channel import HANGING, Message, Start

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0
LONG_LIFE = 60  # seconds; whoever lived so long is started again at once
END_SECONDS = 5


class WorkerSlot:
    """due: when to start the next process, None while there is one. was_ready: whether any of its processes was."""

    def __init__(self, module: str) -> None:
        self._module = module
        self._process: subprocess.Popen[bytes] | None = None
        self.channel: socket.socket | None = None
        self.due: float | None = None
        self.was_ready = self.is_told = False
        self.takes_requests = False
        self._pause = FIRST_PAUSE
        self._started = 0.0

    def start(self, start: Start, listening: int, table: int) -> None:
        """Raises OSError where no process can be started."""
        self._started, self.due, self.takes_requests = time.monotonic(), None, start.takes_requests_at_once
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                self._process = subprocess.Popen(  # noqa: S603
                    [sys.executable, "-m", self._module, str(theirs.fileno())],
                    stdin=subprocess.DEVNULL,
                    pass_fds=[theirs.fileno()],
                    start_new_session=True,  # Ctrl-C must reach the supervisor only, which tells the others
                )
            channel.send_start(ours, start, listening, table)
        except OSError:
            if self._process is None:
                ours.close()
                raise
        ours.setblocking(False)
        self.channel = ours

    def tell(self, message: Message, *fds: int) -> None:
        if self.channel is not None:
            channel.send(self.channel, message, fds)

    def stop(self) -> None:
        """A process that has accepted no request yet has nothing to finish."""
        self.due = None
        if self.takes_requests:
            self.is_told = True
            self.tell(b"stop")
        elif self._process is not None:
            self._process.kill()

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()

    def became_ready(self) -> None:
        self.was_ready = self.takes_requests = True

    def ended(self) -> int:
        """Collect the process, whose channel is closed. Returns its exit code, or minus the signal that ended it."""
        assert self._process is not None
        assert self.channel is not None
        self.channel.close()
        try:
            code = self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        self._process = self.channel = None
        self.takes_requests = False
        return code

    def start_later(self) -> float:
        """Seconds until then: longer each time, unless the last process lived for long."""
        if time.monotonic() - self._started > LONG_LIFE:
            self._pause = FIRST_PAUSE
        pause, self._pause = self._pause, min(2 * self._pause, LONGEST_PAUSE)
        self.due = time.monotonic() + pause
        return pause


def told(code: int) -> str:
    """How a process ended."""
    if code == HANGING:
        return "ended because its engine hangs"
    if -code in set(signal.Signals):
        return f"ended by {signal.Signals(-code).name}"
    return f"ended with code {code}"
