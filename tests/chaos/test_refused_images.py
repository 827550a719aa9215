"""1,000 refused images of 20 MB leave the memory as it was."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from ..server.test_refused_images import cut_bmp, resident_mb
from ..support.server_process import FakeServer
from .conftest import Report

pytestmark = pytest.mark.chaos


@pytest.mark.parametrize("decode", ["process", "thread"])
def test_a_thousand_refused_images_leave_nothing(report: Report, decode: str):
    with FakeServer(DECODE=decode) as server, ThreadPoolExecutor(8) as clients:

        def refused(number: int) -> bool:
            return server.http.post("/embeddings", content=cut_bmp(number), headers=image).status_code in (422, 429)

        image = {"Content-Type": "image/bmp"}
        server.http.post("/embeddings", content=b"nothing", headers=image)
        before = sum(map(resident_mb, server.serving))
        assert all(clients.map(refused, range(1000)))
        time.sleep(5)
        after = sum(map(resident_mb, server.serving))
        report(
            f"1,000 refused images of 20 MB, DECODE={decode}", "memory before, after", f"{before:.0f}, {after:.0f} MB"
        )
        assert after < before + 100
