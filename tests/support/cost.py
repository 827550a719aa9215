"""What one request costs the server that answers it: processor time, memory, and what others notice of it.

    with Target(lambda: ServerProcess(...), BOUND) as target:
        cost = target.measure(request)
        assert not target.complaints(cost)

The server is a real process with a bound on its address space, so that an explosion ends it and not the machine. While
a request is answered, another client asks /health every 20 ms. On a busy machine it does not count how long a thread of
the server stood ready and had no core.
"""

from __future__ import annotations

import math
import resource
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from .health import Health
from .process_tree import cpu_seconds, forget_peaks, machine_seconds, peak_mb, resident_mb
from .raw_http import read_all, status_of
from .server_process import ServerProcess

ADDRESS_SPACE = 6_000_000_000  # bytes; LanceDB alone reserves 1.7 GB of it, and touches little
BUSY = 0.25  # cores: a machine on which others take more is a busy one
TICK = 0.02  # seconds, to which the machine's own figures are exact
PAUSES = (0, 0.5, 2, 5, 10)  # seconds before each time that a request is measured again
RESET, NO_ANSWER = 0, -1  # in place of a status
NOISE = 1.5  # on a shared machine one request takes up to a third more processor time than a moment before


@dataclass(frozen=True)
class Bound:
    """What a request of S bytes may cost: a constant, for the model and the largest image, and a share of S."""

    seconds: float  # of processor time
    seconds_per_mb: float
    mb: float  # of memory, at its highest
    mb_per_mb: float
    health: float = 0.1  # seconds: the median of the worst tenth of /health's answers
    growth: float = 3  # of processor time, where the size doubles; a quadratic one has 4
    longest: float = 45  # seconds until there must be an answer

    def cpu(self, size: int) -> float:
        return self.seconds + self.seconds_per_mb * size / 1e6

    def memory(self, size: int) -> float:
        return self.mb + self.mb_per_mb * size / 1e6


@dataclass(frozen=True)
class Request:
    """Bytes as they go over the wire, in pieces with a pause before each. size: what the client sends in all.

    plain: a harmless request with as much for the model to compute. What that takes here, this may take beyond what any
    request may cost: processors differ.
    """

    pieces: tuple[bytes, ...]
    pause: float = 0
    plain: Request | None = None

    @property
    def size(self) -> int:
        return sum(map(len, self.pieces))


@dataclass(frozen=True)
class Cost:
    size: int  # bytes of the request
    status: int  # RESET where the connection broke without an answer, NO_ANSWER where it was given up
    retry_after: bool
    cpu: float  # seconds, of the server and its decoders, until they are quiet again
    memory: float  # MB above what it had before, at the highest
    health: float  # seconds: the median of the worst tenth
    ended: bool  # the server's process did
    computing: float  # seconds of processor time that its plain request took


class Target:
    """A server under measurement; one that ended, or was given up, is replaced before the next request."""

    def __init__(self, start: Callable[[], ServerProcess], bound: Bound, pauses: Sequence[float] = PAUSES) -> None:
        self._start, self.bound, self._pauses = start, bound, pauses
        self._server: ServerProcess | None = None
        self._health: Health | None = None
        self._computing: dict[Request, float] = {}

    def __enter__(self) -> Target:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    @property
    def server(self) -> ServerProcess:
        if self._server is None or self._server.process.poll() is not None:
            self._end()
            self._server = self._start()
            url = urlsplit(str(self._server.http.base_url))
            self._address = (str(url.hostname), int(url.port or 0))
            resource.prlimit(self._server.process.pid, resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
            self._health = Health(self._address, self._server.process.pid)
        return self._server

    def measure(self, request: Request, *, settle: bool = True) -> Cost:
        """settle: wait until the server is quiet, since work may go on after the answer."""
        return self._measure(request, self._computing_of(request.plain), settle)

    def _computing_of(self, plain: Request | None) -> float:
        if plain is None:
            return 0
        if plain not in self._computing:
            costs = [self._measure(plain, math.inf, True) for _ in range(2)]  # the first has to wake things up
            assert [cost.status for cost in costs] == [200, 200]
            self._computing[plain] = min(cost.cpu for cost in costs)
        return self._computing[plain]

    def _measure(self, request: Request, computing: float, settle: bool) -> Cost:
        process = self.server.process
        assert self._health is not None
        self._health.forget()
        del self.server.stderr[:-100]  # an hour has many lines
        forget_peaks(process.pid)
        started, cpu, resident = time.monotonic(), cpu_seconds(process.pid), resident_mb(process.pid)
        others = self._others_seconds(process.pid)
        highest, answer = resident, b""

        def exchange() -> None:
            nonlocal answer
            answer = send(self._address, request, self.bound.longest)

        client = threading.Thread(target=exchange, daemon=True)
        client.start()
        status: int | None = None
        spent = 0.0
        while status is None:
            client.join(0.02)
            spent = cpu_seconds(process.pid) - cpu if process.poll() is None else spent
            highest = max(highest, peak_mb(process.pid))
            if not client.is_alive():
                status = status_of(answer)
            elif (
                spent > 3 * (self.bound.cpu(request.size) + computing) + 1
                or time.monotonic() - started > self.bound.longest
            ):
                status = NO_ANSWER
        busy = BUSY * (time.monotonic() - started) + TICK
        is_busy = self._others_seconds(process.pid) - others > busy
        health = self._health.worst_tenth(started, is_busy)
        if status != NO_ANSWER and settle:
            self._wait_until_quiet(process.pid, started)
            health = max(health, self._health.worst_tenth(started, is_busy))
        if process.poll() is None:
            spent = cpu_seconds(process.pid) - cpu
            highest = max(highest, peak_mb(process.pid))
        ended = process.poll() is not None
        if status == NO_ANSWER:
            process.kill()
            process.wait()
        retry_after = b"\r\nretry-after:" in answer.partition(b"\r\n\r\n")[0].lower()
        return Cost(request.size, status, retry_after, spent, highest - resident, health, ended, computing)

    def complaints(self, cost: Cost) -> list[str]:
        """What is wrong with it, one line each; none where it is as it should be."""
        bound, size = self.bound, f"{cost.size / 1e6:.2f} MB"
        told = []
        if cost.ended:
            server = self._server
            told.append(
                f"the server ended with {server.process.returncode}: {server.stderr[-1:]}" if server else "ended"
            )
        elif cost.status == RESET:
            told.append("reset without an answer")
        elif cost.status == NO_ANSWER:
            told.append(f"given up after {cost.cpu:.1f} s of CPU")
        elif cost.status >= 500 and cost.status != 504 and not (cost.status == 503 and cost.retry_after):
            told.append(f"status {cost.status}")
        most = bound.cpu(cost.size) + NOISE * cost.computing
        if cost.cpu > most:
            told.append(f"{cost.cpu:.2f} s of CPU for {size}, more than {most:.2f}")
        if cost.memory > bound.memory(cost.size):
            told.append(f"{cost.memory:.0f} MB of memory for {size}, more than {bound.memory(cost.size):.0f}")
        if cost.health > bound.health:
            told.append(f"/health took {cost.health * 1000:.0f} ms, more than {bound.health * 1000:.0f}")
        return told

    def judge(self, request: Request, *, settle: bool = True) -> tuple[Cost, list[str]]:
        """A request over a bound is measured again: other work on the machine does not disturb each time, a slow path
        is slow each time. The least of each figure counts."""
        cost = self.measure(request, settle=settle)
        told = self.complaints(cost)
        for pause in self._pauses:
            if not told or cost.ended or cost.status == NO_ANSWER:
                break
            time.sleep(pause)
            self._computing.clear()  # other work may make both slower: they are compared as they are now
            cost = least(cost, self.measure(request))
            told = self.complaints(cost)
        return cost, told

    def verdict(self, make: Callable[[int], Request], size: int) -> tuple[Cost, list[str]]:
        """One request of about `size` bytes. Where it costs more than a busy machine's noise, one of twice the size
        must not cost much more than twice, or at least one of four times the size not much more than that: a text that
        does not fill the context is read twice, so there may be one step."""
        cost, told = self.judge(make(size))
        if told or cost.cpu <= 0.2:
            return cost, told
        cost = least(cost, self.measure(make(size)))  # the first request had to wake things up
        double = self.measure(make(2 * size))
        for pause in self._pauses:
            if not self._grows_too_fast(cost, double):
                return cost, []
            time.sleep(pause)
            cost = least(cost, self.measure(make(size)))
            double = least(double, self.measure(make(2 * size)))
        if self._grows_too_fast(cost, double) and self._grows_too_fast(double, self.judge(make(4 * size))[0]):
            told.append(f"{cost.cpu:.2f} s of CPU for {cost.size} bytes, {double.cpu:.2f} s for {double.size}")
        return cost, told

    def _grows_too_fast(self, cost: Cost, double: Cost) -> bool:
        is_over = double.status == NO_ANSWER or double.cpu > self.bound.growth * cost.cpu
        return double.size > 1.5 * cost.size and is_over

    def _others_seconds(self, pid: int) -> float:
        """Processor time of all the machine but the server, its decoders and its clients here."""
        return machine_seconds() - cpu_seconds(pid) - time.process_time()

    def _wait_until_quiet(self, pid: int, started: float) -> None:
        before = cpu_seconds(pid)
        while time.monotonic() - started < 2 * self.bound.longest:
            time.sleep(0.06)
            now = cpu_seconds(pid)
            if now - before <= 0.011:  # a tick of the clock: /health's own
                return
            before = now

    def _end(self) -> None:
        if self._health is not None:
            self._health.close()
        if self._server is not None:
            self._server.__exit__()
        self._server = self._health = None


def least(one: Cost, other: Cost) -> Cost:
    """The better of two measurements of the same request in each figure; what is not a figure from the second."""
    return replace(
        other,
        cpu=min(one.cpu, other.cpu),
        memory=min(one.memory, other.memory),
        health=min(one.health, other.health),
    )


def send(address: tuple[str, int], request: Request, seconds: float) -> bytes:
    """All that comes back, as a simple client finds it: it sends everything first, and then reads."""
    try:
        with socket.create_connection(address, timeout=seconds) as client:
            for piece in request.pieces:
                if request.pause:
                    time.sleep(request.pause)
                client.sendall(piece)
            return read_all(client)
    except OSError:
        return b""
