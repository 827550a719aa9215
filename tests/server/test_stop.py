"""SIGTERM: what was accepted is answered, the rest is told to go elsewhere."""

from __future__ import annotations

import signal
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from ..support.raw_http import connect, http_request, read_all, status_of, wait_for
from ..support.server_process import FakeServer

pytestmark = pytest.mark.process


def ask(server: FakeServer, text: str = "a"):
    return server.http.post("/embeddings", json={"text": text}, timeout=60)


def accepted(server: FakeServer) -> float:
    answered = server.metric("openclip_requests_total", route="/embeddings")
    return answered + server.metric("openclip_queue_items")


def test_all_accepted_requests_are_answered_and_new_ones_sent_away():
    with FakeServer(FAKE_BATCH_SECONDS=0.5, MAX_BATCH=4) as server, ThreadPoolExecutor(50) as clients:
        waiting = [clients.submit(ask, server, f"number {i}") for i in range(50)]
        wait_for(lambda: accepted(server) >= 50)
        server.process.send_signal(signal.SIGTERM)
        wait_for(lambda: server.http.get("/ready").status_code == 503)
        assert server.http.get("/ready").json() == {"status": "stopping"}
        assert server.http.get("/health").status_code == 200
        refused = ask(server)
        assert refused.status_code == 503
        assert refused.json()["error"]["type"] == "not_ready"
        assert refused.headers["connection"] == "close"
        assert refused.headers["retry-after"]
        assert not all(request.done() for request in waiting)
        assert [request.result().status_code for request in waiting] == [200] * 50
        assert server.wait() == 0
        assert "Traceback" not in server.output


def test_a_body_still_on_its_way_is_waited_for():
    with FakeServer() as server, connect(server) as client:
        whole = http_request(b'{"text": "slow to come"}')
        client.sendall(whole[:-5])
        wait_for(lambda: server.metric("openclip_requests_under_way") == 1 + 1)  # the metrics' own request
        server.process.send_signal(signal.SIGTERM)
        wait_for(lambda: server.http.get("/ready").status_code == 503)
        client.sendall(whole[-5:])
        assert status_of(read_all(client)) == 200
        assert server.wait() == 0


@pytest.mark.parametrize("how", ["grace over", "second signal"])
def test_what_cannot_be_answered_in_time_gets_503(how: str):
    grace = 1 if how == "grace over" else 60
    with FakeServer(GRACE_SECONDS=grace) as server, ThreadPoolExecutor(3) as clients:
        waiting = [clients.submit(ask, server, f"hang {i}") for i in range(3)]
        wait_for(lambda: server.metric("openclip_queue_items") == 3)
        started = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        wait_for(lambda: server.http.get("/ready").status_code == 503)
        if how == "second signal":
            server.process.send_signal(signal.SIGTERM)
        assert [request.result().status_code for request in waiting] == [503] * 3
        assert server.wait() == 1
        assert time.monotonic() - started < 15
        assert "Traceback" not in server.output


def test_with_the_queue_full():
    with FakeServer(FAKE_BATCH_SECONDS=0.3, MAX_BATCH=1, MAX_QUEUE=8) as server, ThreadPoolExecutor(16) as clients:
        waiting = [clients.submit(ask, server, f"number {i}") for i in range(16)]
        wait_for(lambda: server.metric("openclip_errors_total", type="queue_full") >= 8)
        assert server.stop() == 0
        codes = [request.result().status_code for request in waiting]
        assert codes.count(200) == 8
        assert set(codes) <= {200, 429}


def test_while_the_model_loads():
    with FakeServer(ready=False, FAKE_LOAD_SECONDS=60) as server:
        server.http.base_url = server.wait_until_listening()
        assert server.http.get("/ready").status_code == 503
        started = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - started < 5
        assert "Traceback" not in server.output


def test_idle_connections_do_not_hold_it_up():
    with FakeServer() as server, connect(server), connect(server) as used:
        used.sendall(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n")
        assert status_of(used.recv(1000)) == 200
        started = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - started < 5
