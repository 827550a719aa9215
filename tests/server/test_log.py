"""What the log and the metrics tell, and what they never tell."""

from __future__ import annotations

import base64
import json
import logging
import os
import queue
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from openclip_api.server.log import JsonFormatter, LineQueueHandler

from ..conftest import Encode
from ..support.raw_http import connect, exchange, http_request, wait_for
from ..support.server_process import FakeServer

pytestmark = pytest.mark.process

CANARY = "CANARY-5d1e"


def requests_with_canaries() -> list[dict[str, object]]:
    encoded = base64.b64encode(CANARY.encode()).decode()
    return [
        {"json": {"text": CANARY}},
        {"json": {"text": [CANARY, 3]}},
        {"json": {"text": {"a": CANARY}}},
        {"json": {"image": CANARY}},
        {"json": {"image": encoded}},
        {"json": {"image": f"data:{CANARY};base64,{encoded}"}},
        {"json": {"image": f"https://{CANARY}.example/{CANARY}"}},
        {"json": {"text": "a", "model": CANARY}},
        {"json": {CANARY: CANARY}},
        {"json": {"text": "a", "normalize": CANARY}},
        {"json": {"text": f"poison {CANARY}"}},
        {"json": {"text": f"nan {CANARY}\r\nroot: logged in\x1b[31m"}},
        {"content": f'{{"{CANARY}'},
        {"content": f'"{CANARY}"'},
        {"content": b"\xff" + CANARY.encode()},
        {"json": {"text": "a"}, "params": {CANARY: CANARY}},
        {"json": {"text": "a"}, "headers": {"X-Request-Id": f"{CANARY} {CANARY}", "User-Agent": CANARY}},
        {"json": {"text": "a"}, "headers": {"Content-Type": f"text/{CANARY}", "Referer": CANARY}},
        {"json": {"text": "a"}, "headers": {"Content-Encoding": CANARY}},
    ]


@pytest.mark.parametrize("format", ["text", "json"])
def test_no_payload_and_no_key_is_in_a_log_line_an_error_or_a_label(format: str):
    with FakeServer(API_KEY=f"{CANARY}-key", LOG_FORMAT=format, MAX_BODY_MB=1) as server:
        server.http.headers["Authorization"] = f"Bearer {CANARY}-key"
        answers = [server.http.post("/embeddings", **request) for request in requests_with_canaries()]
        answers.append(server.http.post(f"/{CANARY}", json={}))
        answers.append(server.http.request("PROPFIND", "/embeddings"))
        answers.append(server.http.get("/info", params={"model": CANARY}))
        answers.append(server.http.post("/embeddings", headers={"Authorization": f"Bearer {CANARY}"}))
        answers.append(server.http.post("/embeddings", content=CANARY * 200_000))
        exchange(server, http_request(b"{}", f"/{CANARY}\0"), timeout=1)
        for answer in answers:
            assert CANARY not in answer.text
            assert len(answer.content) < 4096
            if answer.status_code >= 400:
                assert set(answer.json()["error"]) == {"type", "message", "param"}
        assert {answer.status_code for answer in answers} >= {200, 400, 401, 404, 405, 413, 415, 422, 500}
        assert CANARY not in server.http.get("/metrics").text
        assert server.stop() == 0
        assert CANARY not in server.output
        assert "root: logged in" not in server.output
        lines = server.output.splitlines()
        assert len(lines) > 20
        assert max(map(len, lines)) < 2000
        assert "the engine was poisoned" not in server.output  # an error's words may quote; its place does not
        assert "fake_server.py" in server.output


def test_a_line_for_each_request_as_json():
    with FakeServer(LOG_FORMAT="json") as server:
        server.http.post("/embeddings", json={"text": ["a", "b"]}, headers={"X-Request-Id": "mine-1"})
        server.http.post("/embeddings", json={"text": []}, headers={"X-Request-Id": "mine-2"})
        server.http.get("/health")
        server.stop()
        lines = [json.loads(line) for line in server.output.splitlines()]
        assert all({"time", "level", "message"} <= set(line) for line in lines)
        good, bad = (line for line in lines if line.get("message") == "request")  # health checks are not in it
        assert (good["method"], good["route"], good["status"], good["items"]) == ("POST", "/embeddings", 200, 2)
        assert good["request_id"] == "mine-1"
        assert 0 < good["seconds"] < 20
        assert (bad["status"], bad["error"], bad["request_id"]) == (422, "invalid_input", "mine-2")


def test_a_line_for_each_request_as_text():
    with FakeServer() as server:
        server.http.post("/embeddings", json={"text": "a"}, headers={"X-Request-Id": "mine-1"})
        server.stop()
        pattern = r"\d{4}-\d\d-\d\dT[\d:.]+Z request method=POST route=/embeddings status=200 seconds=[\d.]+ items=1 "
        assert re.search(pattern + "request_id=mine-1", server.output)


def test_every_line_of_a_burst_is_written_the_last_ones_too():
    with FakeServer() as server, ThreadPoolExecutor(8) as clients:
        asked = [f"number {n}" for n in range(300)] + ["poison"]
        answers = list(clients.map(lambda text: server.http.post("/embeddings", json={"text": text}), asked))
        ids = {answer.headers["x-request-id"] for answer in answers}
        assert answers[-1].status_code == 500
        assert server.stop() == 0
        lines = [line for line in server.output.splitlines() if " request method=POST" in line]
        assert sorted(line.rpartition("request_id=")[2] for line in lines) == sorted(ids)
        assert len(ids) == 301


@pytest.mark.skipif(sys.platform != "linux", reason="changes the limit of another process")
@pytest.mark.parametrize("format", ["text", "json"])
def test_without_descriptors_the_log_still_writes(format: str):
    import resource

    with FakeServer(LOG_FORMAT=format) as server:  # its first request comes when they are gone
        used = max(int(open_file.name) for open_file in Path(f"/proc/{server.process.pid}/fd").iterdir()) + 1
        before = resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (used, before[1]))
        beyond = [connect(server) for _ in range(20)]
        for text, status in [("a", 200), ("poison", 500), ("b", 200)]:
            assert server.http.post("/embeddings", json={"text": text}).status_code == status
        resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, before)
        for client in beyond:
            client.close()
        with httpx.Client(base_url=server.http.base_url) as later:
            wait_for(lambda: is_up(later))
        assert server.stop() == 0
    assert len(re.findall(r'route(?:=|":")/embeddings', server.output)) == 3
    assert "failed: RuntimeError" in server.output
    assert "fake_server.py" in server.output
    assert len(server.output.splitlines()) < 60  # connections that are refused are no lines each


def test_a_level_hides_what_is_below_it():
    with FakeServer(ready=False, LOG_LEVEL="error", PORT=0, FAKE_LOAD_SECONDS=60) as server:
        time.sleep(2)
        server.process.send_signal(signal.SIGTERM)
        server.wait()
        assert server.output == ""


def test_metrics_count_what_was_asked(photo: Encode):
    with FakeServer(FAKE_BATCH_SECONDS=0.02) as server:
        server.http.post("/embeddings", json={"text": ["a", "b", "c"]})
        server.http.post("/embeddings", json={"image": base64.b64encode(photo()).decode()})
        server.http.post("/embeddings", json={"image": "x"})
        server.http.get("/no/such/route")
        assert server.metric("openclip_requests_total", route="/embeddings", status="200") == 2
        assert server.metric("openclip_requests_total", route="/embeddings", status="422") == 1
        assert server.metric("openclip_requests_total", route="other", status="404") == 1
        assert server.metric("openclip_errors_total", type="invalid_input") == 1
        assert server.metric("openclip_errors_total", type="not_found") == 1
        assert server.metric("openclip_items_total", kind="text") == 3
        assert server.metric("openclip_items_total", kind="image") == 1
        assert server.metric("openclip_batch_items_count") >= 2
        assert server.metric("openclip_batch_items_bucket", kind="text", le="+Inf") >= 1
        assert server.metric("openclip_stage_seconds_count", stage="compute") == 2
        assert server.metric("openclip_request_seconds_sum", route="/embeddings") >= 0.04
        assert server.metric("openclip_models_loaded") == 1
        assert server.metric("process_resident_memory_bytes") > 10_000_000
        assert server.http.get("/metrics").headers["content-type"].startswith("text/plain; version=0.0.4")


@pytest.mark.parametrize("pipe", ["closed", "full"])
def test_a_log_that_nobody_reads_stops_nothing(pipe: str):
    read, write = os.pipe()
    environment = os.environ | {"PORT": "0", "FAKE_BATCH_SECONDS": "0.001", "LOG_LEVEL": "debug"}
    process = subprocess.Popen([sys.executable, "-m", "tests.support.fake_server"], env=environment, stderr=write)
    os.close(write)
    try:
        told = b""
        while b"is ready" not in told:
            told += os.read(read, 65536)
        url = re.findall(rb"http://[\w.]+:\d+", told)[0].decode()
        if pipe == "closed":
            os.close(read)
        with httpx.Client(base_url=url, timeout=20) as http:
            for _ in range(1500):  # some 200 KB of lines, and a pipe holds 64 KB
                assert http.post("/embeddings", json={"text": "a"}).status_code == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait()
        if pipe == "full":
            os.close(read)


def test_with_stderr_closed_from_the_start():
    environment = os.environ | {"PORT": "7861", "FAKE_BATCH_SECONDS": "0"}
    command = f"exec {sys.executable} -m tests.support.fake_server 2>&-"
    process = subprocess.Popen(command, shell=True, env=environment)
    try:
        with httpx.Client(base_url="http://127.0.0.1:7861", timeout=20) as http:
            wait_for(lambda: process.poll() is None and is_up(http))
            for _ in range(50):
                assert http.post("/embeddings", json={"text": "a"}).status_code == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait()


def is_up(http: httpx.Client) -> bool:
    try:
        return http.get("/ready").status_code == 200
    except httpx.ConnectError:
        return False


def test_lines_beyond_the_queue_and_lines_that_cannot_be_written_are_dropped(capsys: pytest.CaptureFixture[str]):
    lines: queue.Queue[str] = queue.Queue(2)
    handler = LineQueueHandler(lines)
    handler.setFormatter(JsonFormatter())
    for message in ("first", f"\ud800 {CANARY}", "second", "third"):
        handler.handle(logging.LogRecord("openclip_api", logging.INFO, "", 0, "%s", (message,), None))
    assert [json.loads(lines.get())["message"] for _ in range(lines.qsize())] == ["first", "second"]
    assert capsys.readouterr().err == ""


def test_an_unknown_path_is_shown_at_debug_level_only():
    asked = ["/v1/rerank", "/a b=c%0Astatus=200%1b[31m\u00e9", "/" + "x" * 5000]
    for level, shown in (("debug", True), ("info", False)):
        with FakeServer(LOG_LEVEL=level) as server:
            for path in asked:
                assert server.http.get(path).status_code == 404
            assert server.http.get("/info").status_code == 200
            assert server.stop() == 0
            lines = [line for line in server.output.splitlines() if "route=other" in line]
            assert len(lines) == len(asked)
            assert any("path=/v1/rerank " in line for line in lines) is shown
            if shown:
                assert "path=/a%20b%3Dc%0Astatus%3D200%1B%5B31m%C3%A9 " in lines[1]
                assert "x" * 190 in lines[2]
                assert "x" * 201 not in lines[2]
            assert not any("path=" in line for line in server.output.splitlines() if "route=/info" in line)
