"""deploy/nginx.conf in a real nginx, under load and with the largest bodies (`make deployment`)."""

from __future__ import annotations

import subprocess
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from openclip_api.settings import Settings

from ..support.nginx import NGINX, nginx_before, write_configuration
from ..support.server_process import FakeServer

pytestmark = pytest.mark.deployment
LARGEST = int(Settings().max_body_mb * 1e6)


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("nginx")
    folder.chmod(0o755)
    with FakeServer() as server, nginx_before(str(server.http.base_url).rstrip("/"), folder) as url:
        yield url


def test_nginx_takes_it(tmp_path: Path):
    configuration, _ = write_configuration(tmp_path, "http://127.0.0.1:7860")
    command = [str(NGINX), "-t", "-c", configuration, "-e", "stderr"]
    tested = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert tested.returncode == 0, tested.stderr


def test_many_clients_lose_nothing(url: str):
    def ask(number: int) -> int:
        return httpx.post(f"{url}/embeddings", json={"text": f"number {number}"}, timeout=30).status_code

    with ThreadPoolExecutor(16) as clients:
        assert Counter(clients.map(ask, range(400))) == {200: 400}


def test_a_body_of_the_largest_size_passes_and_one_byte_more_does_not(url: str):
    def send(size: int) -> httpx.Response:
        """A form with a text, and a field of the length that makes up the size."""
        head = b'--x\r\nContent-Disposition: form-data; name="text"\r\n\r\ncat\r\n'
        head += b'--x\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n'
        body = head + bytes(size - len(head) - 9) + b"\r\n--x--\r\n"
        assert len(body) == size
        kind = {"Content-Type": "multipart/form-data; boundary=x"}
        return httpx.post(f"{url}/embeddings", content=body, headers=kind, timeout=60)

    passed = send(LARGEST)
    assert passed.status_code == 422  # the server read it: these bytes are no image
    assert passed.json()["error"]["param"] == "image"
    assert send(LARGEST + 1).status_code == 413
