"""Clients that ask for another protocol on the way (Java's by default, curl --http2) are answered in HTTP/1.1."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..support.fake_server import vector_of
from ..support.raw_http import connect, exchange, http_request, read_all, status_of
from ..support.server_process import FakeServer

pytestmark = pytest.mark.process

H2C = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n"
WEBSOCKET = "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
UNKNOWN = "Upgrade: TLS/1.0, x/7\r\nConnection: upgrade\r\n"
HEALTH = b"GET /health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
JAVA = """
import java.net.URI;
import java.net.http.*;
class Post {
    public static void main(String[] a) throws Exception {
        var client = HttpClient.newHttpClient();
        for (int i = 0; i < 3; i++) {
            String body = "{\\"text\\": \\"number " + i + " " + "x".repeat(i * 40000) + "\\"}";
            var publisher = i == 1
                ? HttpRequest.BodyPublishers.ofInputStream(() -> new java.io.ByteArrayInputStream(body.getBytes()))
                : HttpRequest.BodyPublishers.ofString(body);
            var request = HttpRequest.newBuilder(URI.create(a[0] + "/embeddings"))
                .header("Content-Type", "application/json").POST(publisher).build();
            System.out.println(client.send(request, HttpResponse.BodyHandlers.ofString()).statusCode());
        }
    }
}
"""


@pytest.fixture(scope="module")
def server() -> Iterator[FakeServer]:
    with FakeServer() as process:
        yield process
        assert process.stop() == 0
        assert "Traceback" not in process.output


def asked(text: str, headers: str, chunked: bool = False) -> bytes:
    body = json.dumps({"text": text}).encode()
    if not chunked:
        return http_request(body, headers=headers)
    pieces = b"".join(b"%x\r\n%b\r\n" % (1, body[at : at + 1]) for at in range(len(body)))
    head = f"POST /embeddings HTTP/1.1\r\nHost: a\r\n{headers}Transfer-Encoding: chunked\r\n\r\n"
    return head.encode() + pieces + b"0\r\nX-Trailer: a\r\n\r\n"


def vectors_in(answers: bytes) -> list[list[float]]:
    return [json.loads(found)[0] for found in re.findall(rb'"embeddings":(\[\[.*?\]\])', answers)]


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("headers", [H2C, WEBSOCKET, UNKNOWN])
@pytest.mark.parametrize("step", [1, 7, 100_000])
def test_the_body_is_read_however_it_arrives(server: FakeServer, headers: str, chunked: bool, step: int):
    texts = ["red sofa", "blue chair", "green tree"]
    sent = b"".join(asked(text, headers, chunked) for text in texts) + HEALTH
    with connect(server) as client:
        for start in range(0, len(sent), step):
            client.sendall(sent[start : start + step])
        answers = read_all(client)
    assert answers.count(b"HTTP/1.1 200 OK\r\n") == 4
    assert answers.endswith(b'{"status":"alive"}')
    assert vectors_in(answers) == [vector_of(text) for text in texts]


@pytest.mark.parametrize("headers", [H2C, WEBSOCKET, UNKNOWN])
@pytest.mark.parametrize("step", [11, 100_000])
def test_a_body_is_never_taken_for_the_next_request(server: FakeServer, headers: str, step: int):
    sent = http_request(b"GET /info HTTP/1.1\r\nHost: a\r\n\r\n", headers=headers) + HEALTH
    with connect(server) as client:
        for start in range(0, len(sent), step):
            client.sendall(sent[start : start + step])
        answers = read_all(client)
    assert answers.count(b"HTTP/1.1 ") == 2
    assert status_of(answers) == 400
    assert b"fingerprint" not in answers.partition(b"\r\n\r\n")[2]


@pytest.mark.parametrize(
    "headers",
    [
        "Content-Length: 5\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked, identity\r\n",
        "Transfer-Encoding:\r\n chunked\r\n",
    ],
)
def test_unclear_framing_is_refused_as_without_an_upgrade(server: FakeServer, headers: str):
    assert status_of(exchange(server, http_request(b'{"text": "a"}', headers=H2C + headers), timeout=5)) == 400


def test_a_get_is_answered_and_the_next_one_too(server: FakeServer):
    sent = b"GET /health HTTP/1.1\r\nHost: a\r\n" + WEBSOCKET.encode() + b"\r\n"
    assert exchange(server, sent * 50 + HEALTH).count(b"HTTP/1.1 200 OK\r\n") == 51


@pytest.mark.parametrize("target", ["other.example:443", "/embeddings", "127.0.0.1:80"])
def test_connect_is_refused_with_all_that_follows(server: FakeServer, target: str):
    sent = f"CONNECT {target} HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n".encode()
    answers = exchange(server, sent + HEALTH)
    assert status_of(answers) == 400
    assert answers.count(b"HTTP/1.1 ") == 1


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl here")
def test_curl_with_http2(server: FakeServer):
    command = ["curl", "-sS", "--http2", "-w", "\n%{http_code}", f"{server.http.base_url}/embeddings"]
    command += ["-H", "Content-Type: application/json", "-d", '{"text": "red sofa"}']
    said = subprocess.run(command, capture_output=True, text=True, timeout=60)
    if "HTTP/2" in said.stderr:
        pytest.skip("this curl has no HTTP/2")
    assert said.stdout.endswith("\n200"), said
    assert vectors_in(said.stdout.encode()) == [vector_of("red sofa")]


@pytest.mark.skipif(shutil.which("javac") is None, reason="no JDK here")
def test_java_s_own_client(server: FakeServer, tmp_path: Path):
    (tmp_path / "Post.java").write_text(JAVA)
    command = ["java", "Post.java", str(server.http.base_url)]
    said = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert said.stdout.split() == ["200", "200", "200"], said
