"""What refused images leave behind, in the real process: nothing."""

from __future__ import annotations

import struct
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ..support.server_process import FakeServer

pytestmark = [pytest.mark.process, pytest.mark.slow]
needs_proc = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads memory on Linux only")

MEGABYTES = 20


def cut_bmp(number: int) -> bytes:
    """A BMP of 27 MB that ends after 20: it is refused once its pixels are read."""
    header = struct.pack("<IHHI", 0, 0, 0, 54) + struct.pack("<IiiHHIIiiII", 40, 3000, 3000, 1, 24, 0, 0, 0, 0, 0, 0)
    return b"BM" + header + (b"%08d" % number) * (MEGABYTES * 1_000_000 // 8)


def resident_mb(pid: int) -> float:
    (line,) = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS")]
    return int(line.split()[1]) / 1000


@needs_proc
@pytest.mark.parametrize("decode", ["thread", "process"])
@pytest.mark.parametrize("clients", [1, 4])
def test_refused_images_do_not_stay_in_memory(decode: str, clients: int):
    with FakeServer(DECODE=decode) as server, ThreadPoolExecutor(clients) as pool:

        def refused(number: int) -> bool:
            return server.http.post("/embeddings", content=cut_bmp(number), headers=image).status_code == 422

        image = {"Content-Type": "image/bmp"}
        server.http.post("/embeddings", content=b"nothing", headers=image)
        before = resident_mb(server.process.pid)
        assert all(pool.map(refused, range(40)))
        deadline = time.monotonic() + 20  # freed memory is given back within seconds
        while (after := resident_mb(server.process.pid)) > before + 100 and time.monotonic() < deadline:
            time.sleep(0.5)
        assert after < before + 100
