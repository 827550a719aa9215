"""Hostile images and a machine without resources, in the real process."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import statistics
import struct
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from ..support.bad_images import JPEG, PNG, chunk
from ..support.raw_http import wait_for
from ..support.server_process import FakeServer

pytestmark = [
    pytest.mark.process,
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes on Linux only"),
]
IMAGE = {"Content-Type": "image/jpeg"}
MEGABYTE = zlib.compress(bytes(1 << 20), 9)

HOSTILE: dict[str, Callable[[], bytes]] = {
    "PNG of profiles": lambda: PNG[:33] + chunk(b"iCCP", b"a\0\0" + MEGABYTE) * 18_000 + PNG[33:],
    "PNG of empty pixel data": lambda: PNG[:33] + chunk(b"IDAT", b"") * 1_600_000 + PNG[33:],
    "JPEG of tiny EXIF": lambda: JPEG[:2] + struct.pack(">HH", 0xFFE1, 10) + b"Exif\0\0ab" * 1_600_000,
    "JPEG of empty APP0": lambda: JPEG[:2] + b"\xff\xe0\0\2" * 5_000_000 + JPEG[2:],
    "JPEG of nothing": lambda: JPEG[:20] + bytes(20_000_000),
    "GIF of tiny blocks": lambda: b"GIF89a\1\0\1\0\0\0\0!\xfe" + b"\1a" * 10_000_000,
}


def children(pid: int) -> list[int]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if int((process / "stat").read_text().rpartition(")")[2].split()[1]) == pid:
                found.append(int(process.name))
    return found


def cpu_seconds(pid: int) -> float:
    """Of a process and of its children."""
    seconds = 0
    for each in [pid, *children(pid)]:
        fields = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
        seconds += int(fields[11]) + int(fields[12])
    return seconds / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def health_watched(url: httpx.URL) -> Iterator[list[float]]:
    """Seconds of each answer of /health until the end of the block."""
    took: list[float] = []
    ended = threading.Event()

    def watch() -> None:
        with httpx.Client(base_url=url, timeout=30) as http:
            while not ended.wait(0.01):
                started = time.monotonic()
                assert http.get("/health").status_code == 200
                took.append(time.monotonic() - started)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        wait_for(lambda: took)  # it is at work when the block begins
        yield took
    finally:
        ended.set()
        thread.join()


@pytest.mark.parametrize("decode", ["thread", "process"])
def test_hostile_images_are_refused_at_the_cost_of_their_bytes(decode: str):
    with FakeServer(DECODE=decode) as server:
        server.http.post("/embeddings", content=JPEG, headers=IMAGE)
        for name, make in HOSTILE.items():
            data = make()
            before = cpu_seconds(server.process.pid)
            with health_watched(server.http.base_url) as took:
                assert server.http.post("/embeddings", content=data, headers=IMAGE).status_code == 422, name
            assert cpu_seconds(server.process.pid) - before < 2, name
            worst = sorted(took)[-max(1, len(took) // 10) :]
            assert statistics.median(worst) < 0.5, name


@contextlib.contextmanager
def killed_again_and_again(pid: int) -> Iterator[None]:
    """No child of the process lives long enough to decode an image."""
    ended = threading.Event()

    def kill() -> None:
        while not ended.wait(0.02):
            for child in children(pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child, signal.SIGKILL)

    thread = threading.Thread(target=kill)
    thread.start()
    time.sleep(0.3)
    try:
        yield
    finally:
        ended.set()
        thread.join()


def assert_overloaded(answer: httpx.Response) -> None:
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) > 0
    assert answer.json()["error"]["type"] == "overloaded"


def test_decoders_that_somebody_kills_are_the_servers_fault():
    with FakeServer(DECODE="process") as server:
        assert server.http.post("/embeddings", content=JPEG, headers=IMAGE).status_code == 200
        with killed_again_and_again(server.process.pid):
            assert_overloaded(server.http.post("/embeddings", content=JPEG, headers=IMAGE))
        assert server.http.post("/embeddings", content=JPEG, headers=IMAGE).status_code == 200


@pytest.mark.parametrize("kind", ["descriptors", "memory"])
def test_a_decoder_that_cannot_be_started_is_the_servers_fault(kind: str):
    with FakeServer(DECODE="process") as server:
        pid = server.process.pid
        assert server.http.post("/embeddings", content=JPEG, headers=IMAGE).status_code == 200
        if kind == "descriptors":
            limit, value = resource.RLIMIT_NOFILE, len(list(Path(f"/proc/{pid}/fd").iterdir()))
        else:  # for the children, which inherit it: 100 MB do not hold NumPy
            limit, value = resource.RLIMIT_DATA, 30_000_000
        before = resource.prlimit(pid, limit)
        (child,) = children(pid)
        resource.prlimit(pid, limit, (value, before[1]))
        os.kill(child, signal.SIGKILL)
        assert_overloaded(server.http.post("/embeddings", content=JPEG, headers=IMAGE))
        resource.prlimit(pid, limit, before)
        assert server.http.post("/embeddings", content=JPEG, headers=IMAGE).status_code == 200
