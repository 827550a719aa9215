"""A web server for images, good and hostile, and the means to let a fetcher find it under any name."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpcore2

PUBLIC_ADDRESS = "93.184.215.14"
Answer = Callable[[BaseHTTPRequestHandler], None]


class Upstream:
    """Answers each path as `answers` says. `requests` holds what was asked: (path, headers)."""

    def __init__(self, answers: dict[str, Answer], context: ssl.SSLContext | None = None) -> None:
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.most_at_once = 0
        upstream, now = self, [0]
        lock = threading.Lock()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            _counts = 0

            def do_GET(self) -> None:
                upstream.requests.append((self.path, dict(self.headers)))
                self._change(1)
                try:
                    answers[self.path.partition("?")[0]](self)
                except OSError:
                    pass  # the client has had enough
                finally:
                    self._change(-self._counts)

            def end_headers(self) -> None:
                self._change(-self._counts)  # who has it all may ask again before this thread ends
                super().end_headers()

            def _change(self, by: int) -> None:
                with lock:
                    self._counts += by
                    now[0] += by
                    upstream.most_at_once = max(upstream.most_at_once, now[0])

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        if context is not None:
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def __enter__(self) -> Upstream:
        return self

    def __exit__(self, *_: Any) -> None:
        self._server.shutdown()
        self._server.server_close()


def body(content: bytes, status: int = 200, **headers: str) -> Answer:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        for name, value in ({"Content_Length": str(len(content))} | headers).items():
            request.send_header(name.replace("_", "-"), value)
        request.end_headers()
        request.wfile.write(content)

    return answer


def redirect(location: str, status: int = 302) -> Answer:
    return body(b"", status, Location=location)


def drip(seconds: float, part: bytes = b"x") -> Answer:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.end_headers()
        while True:
            request.wfile.write(part)
            request.wfile.flush()
            time.sleep(seconds)

    return answer


def hang(request: BaseHTTPRequestHandler) -> None:
    time.sleep(5)


class Backend(httpcore2.AsyncNetworkBackend):
    """Connects to `port` on this machine whatever address is asked for; `connected` holds what that was."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.connected: list[tuple[str, int]] = []

    async def connect_tcp(self, host: str, port: int, *_: Any, **__: Any) -> httpcore2.AsyncNetworkStream:
        self.connected.append((host, port))
        return await httpcore2.AnyIOBackend().connect_tcp("127.0.0.1", self.port)


class Sentinel:
    """Listens where nothing must ever come."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.create_server((host, 0), family=family)
        self._socket.setblocking(False)
        self.port = self._socket.getsockname()[1]

    def was_reached(self) -> bool:
        try:
            self._socket.accept()[0].close()
        except BlockingIOError:
            return False
        return True

    def close(self) -> None:
        self._socket.close()


def resolver(names: dict[str, Iterable[str]]) -> Callable[[str, int], Any]:
    async def resolve(host: str, port: int) -> list[str]:
        await asyncio.sleep(0)
        if host not in names:
            raise socket.gaierror(socket.EAI_NONAME, "not known")
        return list(names[host])

    return resolve
