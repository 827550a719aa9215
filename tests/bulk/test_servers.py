"""--server: the rows equal those of a local run, whatever happens to the servers meanwhile."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import orjson
import pytest

from openclip_api.bulk.remote_embedder import RemoteEmbedder
from openclip_api.errors import OtherRun, ServerFailed

from ..support.embed_process import SHARD, finish, same_rows, start, write_collection
from ..support.server_process import FakeServer, ServerProcess
from .conftest import Embed, rows_of


@pytest.fixture(scope="module")
def emoji() -> Iterator[ServerProcess]:
    with ServerProcess(MODEL_NAME="emoji", PRECISION="fp32", API_KEY="secret", MAX_BODY_MB=1) as server:
        yield server


def url_of(server: ServerProcess) -> str:
    return str(server.http.base_url).rstrip("/")


def answered(server: FakeServer, status: int = 200) -> float:
    return server.metric("openclip_requests_total", route="/embeddings", status=str(status))


@pytest.mark.process
def test_a_server_gives_the_rows_that_this_process_gives(tmp_path: Path, run: Embed, emoji: ServerProcess):
    source = write_collection(tmp_path / "images", 40)
    (tmp_path / "t.txt").write_text("a red car\n\na cat\n")
    run(source, tmp_path / "t.txt", "--out", tmp_path / "here", *SHARD, max_body_mb=1)
    options = ["--server", url_of(emoji), "--out", tmp_path / "there", *SHARD]
    assert run(source, tmp_path / "t.txt", *options, max_body_mb=1, api_key="secret") == 3
    same_rows(tmp_path / "there", tmp_path / "here")


@pytest.mark.process
def test_a_run_may_move_from_here_to_a_server(tmp_path: Path, run: Embed, emoji: ServerProcess):
    source = write_collection(tmp_path / "images", 40)
    run(source, "--out", tmp_path / "here", *SHARD)
    run(source, "--out", tmp_path / "both", *SHARD)
    (tmp_path / "both" / "vectors" / "00002.parquet").unlink()
    run(source, "--server", url_of(emoji), "--out", tmp_path / "both", *SHARD, api_key="secret")
    same_rows(tmp_path / "both", tmp_path / "here")
    with FakeServer() as other, pytest.raises(OtherRun, match="model id OpenCLIP-emoji, not fake"):
        run(source, "--server", url_of(other), "--out", tmp_path / "both", *SHARD)


@pytest.mark.process
def test_servers_share_the_work_and_one_may_die(tmp_path: Path):
    source = tmp_path / "t.txt"
    source.write_text("\n".join(f"text {n}" for n in range(1500)))
    with ExitStack() as stack:
        slow = {"FAKE_BATCH_SECONDS": 0.05, "MAX_QUEUE": 20}  # a queue that is too short for the requests: some get 429
        one, two, three = (stack.enter_context(FakeServer(**slow)) for _ in range(3))
        servers = [part for server in (one, two, three) for part in ("--server", url_of(server))]
        process = start(source, *servers, "--out", tmp_path / "out", "--progress", "quiet")
        deadline = time.monotonic() + 60
        while answered(two) < 100:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        two.process.kill()
        assert finish(process) == (0, "")
        assert answered(one) > 300
        assert answered(three) > 300
        assert answered(one, 429) + answered(three, 429) > 0
    rows = rows_of(tmp_path / "out")
    assert rows["id"].to_list() == [f"t.txt:{n}" for n in range(1, 1501)]
    assert rows["vector"].null_count() == 0


@pytest.mark.process
def test_no_key_no_server_and_two_models_are_one_line(tmp_path: Path, run: Embed, emoji: ServerProcess):
    (tmp_path / "t.txt").write_text("a")
    with pytest.raises(ServerFailed, match="refuses the key: set API_KEY"):
        run(tmp_path / "t.txt", "--server", url_of(emoji), "--out", tmp_path / "out")
    with FakeServer() as other, pytest.raises(ServerFailed, match="all must serve the same"):
        RemoteEmbedder([url_of(other), url_of(emoji)], "secret")
    with pytest.raises(ServerFailed, match="does not answer: ConnectError"):
        RemoteEmbedder(["http://127.0.0.1:9"], None, patience=0.5)


class Scripted(ThreadingHTTPServer):
    """Answers with the given statuses, one after the other, then with vectors."""

    def __init__(self, statuses: list[int]) -> None:
        self.statuses = statuses
        super().__init__(("127.0.0.1", 0), Answer)
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.close_connection = True
        self._send(200, orjson.dumps({"model_id": "m", "precision": "fp32", "fingerprint": "f", "embed_dim": 2}))

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        assert isinstance(self.server, Scripted)
        status = self.server.statuses.pop(0) if self.server.statuses else 200
        if status == 0:
            self.close_connection = True
            return
        body = (
            bytes([0, 0, 128, 63] * 2) if status == 200 else orjson.dumps({"error": {"message": "no", "param": None}})
        )
        self._send(status, body)

    def _send(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.parametrize("statuses", [[429, 503, 200], [502, 504], [0, 0, 429], [500, 500], [500, 503, 500], []])
def test_what_passes_is_asked_again(statuses: list[int]):
    with Scripted(statuses) as scripted, RemoteEmbedder([scripted.url], None) as embedder:
        assert embedder.submit_blocking("text", "a").result().vector.tolist() == [1, 1]
        scripted.shutdown()


@pytest.mark.parametrize(
    ("status", "message"), [(412, "now serves another model"), (404, "status 404"), (401, "API_KEY")]
)
def test_what_does_not_pass_ends_the_run(status: int, message: str):
    with Scripted([status]) as scripted, RemoteEmbedder([scripted.url], None) as embedder:
        with pytest.raises(ServerFailed, match=message):
            embedder.submit_blocking("text", "a")
        scripted.shutdown()


def test_a_connection_that_is_made_while_the_run_ends_is_closed(monkeypatch: pytest.MonkeyPatch):
    connect, made = socket.create_connection, list[socket.socket]()
    connecting, ended = threading.Event(), threading.Event()

    def connect_slowly(*args: Any, **options: Any) -> socket.socket:
        connecting.set()
        assert ended.wait(30)
        made.append(connect(*args, **options))
        return made[0]

    with Scripted([]) as scripted, ThreadPoolExecutor(1) as pool:
        with RemoteEmbedder([scripted.url], None) as embedder:
            monkeypatch.setattr(socket, "create_connection", connect_slowly)
            answer = pool.submit(embedder.submit_blocking, "text", "a")
            assert connecting.wait(30)
        ended.set()
        answer.exception(30)
        scripted.shutdown()
    assert made[0].fileno() == -1


@pytest.mark.process
def test_what_a_server_answers_500_for_is_a_row_that_failed(tmp_path: Path, run: Embed):
    texts = [f"text {n}" for n in range(30)]
    texts[7] = "poison"
    (tmp_path / "t.txt").write_text("\n".join(texts))
    with FakeServer() as server:
        assert run(tmp_path / "t.txt", "--server", url_of(server), "--out", tmp_path / "out") == 3
        assert answered(server, 500) == 3
    rows = rows_of(tmp_path / "out")
    assert rows["error"].is_null().to_list() == [n != 7 for n in range(30)]
    assert rows["error"][7].startswith("an error in the server; its log has more about request ")


def test_a_server_that_answers_500_for_all_ends_the_run(tmp_path: Path, run: Embed):
    (tmp_path / "t.txt").write_text("\n".join(f"text {n}" for n in range(200)))
    with Scripted([500] * 1000) as scripted:
        with pytest.raises(ServerFailed, match="50 items in a row ended with status 500: no"):
            run(tmp_path / "t.txt", "--server", scripted.url, "--out", tmp_path / "out")
        scripted.shutdown()


@pytest.mark.slow
def test_patience_ends():
    with Scripted([503] * 1000) as scripted, RemoteEmbedder([scripted.url], None, patience=1) as embedder:
        with pytest.raises(ServerFailed, match="is busy: status 503"):
            embedder.submit_blocking("text", "a")
        scripted.shutdown()
