"""An answer that comes before its request's end reaches the client, and what still comes costs next to nothing."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from openclip_api.server import client_transport

from ..support.raw_http import connect, http_request, read_all, status_of, wait_for
from ..support.server_process import FakeServer

pytestmark = pytest.mark.process

TRIES = 5
JSON = {"Content-Type": "application/json"}
EARLY = [
    ("/embeddings", 33, JSON, 413),
    ("/embeddings", 120, JSON, 413),
    ("/nowhere", 20, JSON, 404),
    ("/health", 20, JSON, 405),
    ("/embeddings", 20, JSON | {"Content-Encoding": "gzip"}, 415),
    ("/embeddings", 20, JSON | {"Authorization": "Bearer wrong"}, 401),
]
NODE = """
const [url, megabytes, headers] = [process.argv[1], Number(process.argv[2]), JSON.parse(process.argv[3])];
let left = megabytes * 16;
const body = new ReadableStream({ pull(to) { left-- > 0 ? to.enqueue(new Uint8Array(62500)) : to.close(); } });
fetch(url, { method: "POST", body, headers, duplex: "half" }).then((answer) => console.log(answer.status));
"""


linux_only = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc")


def cpu_seconds(server: FakeServer) -> float:
    fields = Path(f"/proc/{server.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory(server: FakeServer) -> int:
    return int(Path(f"/proc/{server.process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def descriptors(server: FakeServer) -> int:
    return len(list(Path(f"/proc/{server.process.pid}/fd").iterdir()))


@pytest.fixture(scope="module")
def server() -> Iterator[FakeServer]:
    with FakeServer(API_KEY="right", BODY_TIMEOUT=5) as process:
        process.http.headers["Authorization"] = "Bearer right"
        yield process
        assert process.stop() == 0
        assert "Traceback" not in process.output


def by_urllib(server: FakeServer, path: str, body: bytes, headers: dict[str, str]) -> int:
    request = urllib.request.Request(f"{server.http.base_url}{path}", body, headers)
    try:
        return urllib.request.urlopen(request, timeout=30).status
    except urllib.error.HTTPError as error:
        return error.code


def by_http_client(server: FakeServer, path: str, body: bytes, headers: dict[str, str], chunked: bool = False) -> int:
    client = http.client.HTTPConnection(server.http.base_url.host, server.http.base_url.port, timeout=30)
    pieces = (body[start : start + 65_536] for start in range(0, len(body), 65_536))
    try:
        client.request("POST", path, pieces if chunked else body, headers)
        answer = client.getresponse()
        assert answer.headers["Connection"] == "close"
        assert answer.read()
        return answer.status
    finally:
        client.close()


@pytest.mark.parametrize(("path", "megabytes", "headers", "status"), EARLY)
def test_each_client_reads_the_answer(server: FakeServer, path: str, megabytes: int, headers, status: int):
    body = bytes(megabytes * 1_000_000)
    headers = {"Authorization": "Bearer right"} | headers
    for _ in range(TRIES):
        assert by_urllib(server, path, body, headers) == status
        assert by_http_client(server, path, body, headers) == status
        assert by_http_client(server, path, body, headers, chunked=True) == status


@pytest.mark.skipif(shutil.which("node") is None, reason="no node here")
@pytest.mark.parametrize(("path", "megabytes", "headers", "status"), EARLY[1:3])
def test_node_reads_the_answer(server: FakeServer, path: str, megabytes: int, headers, status: int):
    command = ["node", "-e", NODE, f"{server.http.base_url}{path}", str(megabytes)]
    for _ in range(TRIES):
        shown = json.dumps({"Authorization": "Bearer right"} | headers)
        assert subprocess.run([*command, shown], capture_output=True, text=True, timeout=60).stdout == f"{status}\n"


def test_a_malformed_body_s_400_is_read(server: FakeServer):
    with connect(server) as client:
        head = (
            b"POST /embeddings HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer right\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        client.sendall(head + b"xyz\r\n" + bytes(10_000_000))
        assert status_of(read_all(client)) == 400


def test_a_client_that_waits_for_100_continue_gets_its_answer_instead(server: FakeServer):
    with connect(server) as client:
        client.sendall(b"POST /nowhere HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 9000\r\n\r\n")
        answer = read_all(client)
        assert status_of(answer) == 401
        assert b"connection: close" in answer


def test_a_request_that_has_come_whole_keeps_its_connection(server: FakeServer):
    with connect(server) as client:
        for _ in range(3):
            client.sendall(http_request(b"{}", "/nowhere", "Authorization: Bearer right\r\n"))
            answer = b""
            while not answer.endswith(b"}}"):
                answer += client.recv(65_536)
            assert status_of(answer) == 404
            assert b"connection: close" not in answer


@linux_only
def test_what_is_thrown_away_costs_little(server: FakeServer):
    right = {"Authorization": "Bearer right"}
    by_http_client(server, "/nowhere", bytes(1_000_000), right)
    seconds, held = cpu_seconds(server), memory(server)
    for _ in range(5):
        assert by_http_client(server, "/nowhere", bytes(100_000_000), right) == 404
    assert cpu_seconds(server) - seconds < 5
    assert memory(server) - held < 50_000_000


@linux_only
def test_a_client_that_stops_or_never_ends_is_cut_off(server: FakeServer):
    head = b"POST /nowhere HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999\r\n\r\n"
    idle = descriptors(server)
    with ExitStack() as stack:
        clients = [stack.enter_context(connect(server)) for _ in range(client_transport.MOST_LINGERING + 10)]
        for client in clients:
            client.sendall(head)
        answers = [read_all(client) for client in clients]  # to the end: they are told that nothing more comes
        assert set(map(status_of, answers)) <= {401, 0}  # 0: more than may linger at once
        assert answers.count(b"") <= 10
        wait_for(lambda: descriptors(server) < idle + 10, 3 * client_transport.LINGER_STEP_SECONDS + 10)
    with connect(server) as client:
        client.sendall(head)
        sent, started = 0, time.monotonic()
        with suppress(OSError):
            while sent < 3_000_000_000 and time.monotonic() - started < 60:
                client.sendall(bytes(1_000_000))
                sent += 1_000_000
        assert sent < 1_000_000_000  # 16 times MAX_BODY_MB, and what the sockets hold


@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest.mark.parametrize("seconds", [0, 0.3])
def test_a_client_that_only_sends_no_more_gets_its_answer(version: str, seconds: float):
    with FakeServer(FAKE_BATCH_SECONDS=seconds) as server, connect(server) as client:
        client.sendall(http_request(b'{"text": "a"}').replace(b"HTTP/1.1", f"HTTP/{version}".encode()))
        client.shutdown(socket.SHUT_WR)
        answer = read_all(client)  # to its end: the server closes it
        assert status_of(answer) == 200
        assert answer.endswith(b"}")
        assert answer.count(b"HTTP/1.1") == 1


def test_pipelined_requests_are_all_answered_to_a_client_that_sends_no_more():
    with FakeServer(FAKE_BATCH_SECONDS=0.1) as server, connect(server) as client:
        client.sendall(http_request(b'{"text": "a"}') * 5)
        client.shutdown(socket.SHUT_WR)
        assert read_all(client).count(b"HTTP/1.1 200 OK") == 5
