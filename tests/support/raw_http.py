"""HTTP by hand, for what no client library sends."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable
from urllib.parse import urlsplit

from .server_process import FakeServer, ServerProcess


def connect(server: ServerProcess, timeout: float = 20) -> socket.socket:
    url = urlsplit(str(server.http.base_url))
    return socket.create_connection((url.hostname, url.port), timeout=timeout)


def http_request(body: bytes, path: str = "/embeddings", headers: str = "") -> bytes:
    return f"POST {path} HTTP/1.1\r\nHost: test\r\nContent-Length: {len(body)}\r\n{headers}\r\n".encode() + body


def exchange(server: ServerProcess, sent: bytes, timeout: float = 20) -> bytes:
    """All that comes back until the server closes the connection, or for `timeout` seconds."""
    with connect(server, timeout) as client:
        with contextlib.suppress(OSError):  # it may close before all is sent
            client.sendall(sent)
        return read_all(client)


def read_all(client: socket.socket) -> bytes:
    received = b""
    with contextlib.suppress(OSError):
        while part := client.recv(1 << 16):
            received += part
    return received


def status_of(answer: bytes) -> int:
    """0 where the connection was closed without one."""
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.1 ") else 0


def wait_for(condition: Callable[[], object], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def assert_still_serving(server: FakeServer) -> None:
    """A good request gets its answer, and nothing of earlier ones stays behind."""
    assert server.http.post("/embeddings", json={"text": "a"}).status_code == 200
    wait_for(lambda: server.metric("openclip_bodies_bytes") == 0)
    wait_for(lambda: server.metric("openclip_requests_under_way") == 1)
