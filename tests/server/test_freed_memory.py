"""What large bodies leave behind, in the real process: nothing that counts."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ..support.server_process import FakeServer
from .test_refused_images import resident_mb

pytestmark = [
    pytest.mark.process,
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads memory on Linux only"),
]
BODIES = [
    (b'{"text":[' + b"1," * 15_000_000 + b"1]}", 413),
    (b'{"text":"' + b"\\u0000" * 5_000_000 + b'"}', 413),
    (b'{"text":"a","image":["' + b"a" * 30_000_000 + b'"]}', 422),
    (b'{"text":' + b" " * 30_000_000 + b'"a"}', 200),
]


@pytest.mark.parametrize("clients", [1, 4])
def test_bodies_of_30_mb_do_not_stay_in_memory(clients: int):
    """glibc kept 60 MB and more of them, in each thread that had parsed one."""
    with FakeServer() as server, ThreadPoolExecutor(clients) as pool:

        def is_answered(body: bytes, status: int) -> bool:
            answer = server.http.post("/embeddings", content=body, headers={"Content-Type": "application/json"})
            return answer.status_code == status

        assert is_answered(b'{"text": "a"}', 200)
        before = resident_mb(server.process.pid)
        assert all(pool.map(is_answered, *zip(*BODIES * 2, strict=True)))
        deadline = time.monotonic() + 20  # freed memory is given back within seconds
        while (after := resident_mb(server.process.pid)) > before + 30 and time.monotonic() < deadline:
            time.sleep(0.5)
        assert after < before + 30
