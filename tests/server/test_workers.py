"""WORKERS: several processes that answer, stop, fail and are counted as one server."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from ..support.process_tree import children
from ..support.raw_http import connect, http_request, read_all, status_of, wait_for
from ..support.server_process import FakeServer, ServerProcess

pytestmark = pytest.mark.process


def ask(server: ServerProcess, text: str = "a") -> httpx.Response:
    """Over a connection of its own, so any worker may take it."""
    return httpx.post(f"{server.http.base_url}/embeddings", json={"text": text}, timeout=60)


def seen(server: ServerProcess) -> set[str]:
    """The workers that the log's lines name."""
    return set(re.findall(r" worker=(\d)", server.output))


def workers(server: ServerProcess) -> list[int]:
    return children(server.process.pid)


def is_running(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


@contextlib.contextmanager
def stopped(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def test_all_workers_answer_and_their_figures_are_added_up(tiny: Path):
    with ServerProcess(WORKERS=2, MODEL_NAME=f"local-dir:{tiny}", PRECISION="fp32") as server:
        answers = []

        def both_answered() -> bool:
            answers.append(ask(server).json()["embeddings"])
            return len(seen(server)) == 2

        wait_for(both_answered)
        assert all(answer == answers[0] for answer in answers)
        assert server.http.get("/info").json()["workers"] == 2
        for _ in range(6):  # whoever is asked
            text = httpx.get(f"{server.http.base_url}/metrics").text
            assert f'route="/embeddings",status="200"}} {len(answers)}.0\n' in text
            assert "\nopenclip_workers 2.0\n" in text
            assert "\nopenclip_workers_silent 0.0\n" in text
            assert "\nopenclip_models_loaded 1.0\n" in text
        assert len(re.findall("is ready after", server.output)) == 1
        assert server.stop() == 0
        assert "Traceback" not in server.output


def test_one_that_is_killed_is_replaced_and_its_own_requests_alone_fail():
    with FakeServer(WORKERS=2, FAKE_ITEM_SECONDS=0.01) as server:
        first = workers(server)
        over = threading.Event()

        def client(number: int) -> list[bool]:
            """Whether each answer came."""
            came = []
            with httpx.Client(base_url=server.http.base_url, timeout=60) as http:
                while not over.is_set():
                    try:
                        came.append(http.post("/embeddings", json={"text": f"{number} {len(came)}"}).status_code == 200)
                    except httpx.TransportError:
                        came.append(False)
            return came

        with ThreadPoolExecutor(8) as clients:
            came = [clients.submit(client, number) for number in range(8)]
            try:
                wait_for(lambda: len(seen(server)) == 2)
                os.kill(first[0], signal.SIGKILL)
                wait_for(lambda: "is ready again" in server.output or ask_ready(server) != 200)
                assert ask_ready(server) == 200
            finally:
                over.set()
        assert server.line_with("worker 0 ended by SIGKILL; the next one starts in 0.1 s")
        assert {line.count(" method=") for line in server.output.splitlines() if "request" in line} == {
            1
        }  # none is torn
        failed = [request.result().count(False) for request in came]
        assert max(failed) <= 1
        assert min(failed) == 0
        assert all(request.result()[-1] for request in came)
        again = workers(server)
        assert len(again) == 2
        assert first[1] in again
        assert server.stop() == 0


def ask_ready(server: ServerProcess) -> int:
    return httpx.get(f"{server.http.base_url}/ready", timeout=60).status_code


def test_the_queue_s_bound_is_the_server_s_and_a_killed_worker_holds_nothing():
    with FakeServer(WORKERS=2, MAX_QUEUE=8, MAX_BATCH=1) as server, ThreadPoolExecutor(16) as clients:
        waiting = [clients.submit(ask, server, f"hang {number}") for number in range(8)]
        wait_for(lambda: server.metric("openclip_queue_items") == 8)
        refused = [ask(server, "one more") for _ in range(6)]
        assert {answer.status_code for answer in refused} == {429}
        assert "8 items are waiting, at most 8 may" in refused[0].json()["error"]["message"]
        for pid in workers(server):
            os.kill(pid, signal.SIGKILL)
        for request in waiting:
            with contextlib.suppress(httpx.TransportError):
                request.result()
        whole = httpx.post(f"{server.http.base_url}/embeddings", json={"text": list("abcdefgh")}, timeout=60)
        assert whole.status_code == 200
        assert server.metric("openclip_queue_items") == 0


def test_the_bound_on_bodies_is_the_server_s():
    body = b" " * 1_500_000 + b'{"text": "a"}'
    with FakeServer(WORKERS=2, MAX_QUEUE_MB=4) as server, connect(server) as first, connect(server) as second:
        for client in (first, second):
            client.sendall(http_request(body, headers="Connection: close\r\n")[:-5])
        wait_for(lambda: server.metric("openclip_bodies_bytes") > 2_900_000)
        for _ in range(6):
            with connect(server) as third:
                third.sendall(http_request(body)[:1000])
                assert status_of(read_all(third)) == 429
        for client in (first, second):
            client.sendall(body[-5:])
            assert status_of(read_all(client)) == 200
        wait_for(lambda: server.metric("openclip_bodies_bytes") == 0)


def test_a_stop_drains_all_workers():
    """As systemd tells it, to each process: a worker does not take what its supervisor says for a second signal."""
    with FakeServer(WORKERS=2, FAKE_BATCH_SECONDS=0.2, MAX_BATCH=4) as server, ThreadPoolExecutor(40) as clients:
        waiting = [clients.submit(ask, server, f"number {number}") for number in range(40)]
        wait_for(lambda: server.metric("openclip_queue_items") + len(re.findall("items=1", server.output)) >= 40)
        for pid in [*workers(server), server.process.pid]:
            os.kill(pid, signal.SIGTERM)
        assert [request.result().status_code for request in waiting] == [200] * 40
        assert server.wait() == 0
        assert "Traceback" not in server.output


@pytest.mark.parametrize("how", ["grace over", "second signal"])
def test_what_cannot_be_answered_in_time_gets_503(how: str):
    grace = 1 if how == "grace over" else 60
    with FakeServer(WORKERS=2, GRACE_SECONDS=grace) as server, ThreadPoolExecutor(4) as clients:
        waiting = [clients.submit(ask, server, f"hang {number}") for number in range(4)]
        wait_for(lambda: server.metric("openclip_queue_items") == 4)
        server.process.send_signal(signal.SIGINT)
        if how == "second signal":
            wait_for(lambda: server.http.get("/ready").status_code == 503)
            server.process.send_signal(signal.SIGTERM)
        assert [request.result().status_code for request in waiting] == [503] * 4
        assert server.wait() == 1


def test_a_worker_that_does_not_answer_is_left_out_of_the_figures_and_ends_with_the_supervisor():
    with FakeServer(WORKERS=2) as server:
        below = workers(server)
        with stopped(below[0]):
            wait_for(lambda: metric_of_new_connection(server, "openclip_workers_silent") == 1)
        wait_for(lambda: metric_of_new_connection(server, "openclip_workers_silent") == 0)
        below += [decoder for worker in below for decoder in children(worker)]
        assert len(below) >= 4
        server.process.kill()
        server.process.wait()
        wait_for(lambda: not any(map(is_running, below)))


def metric_of_new_connection(server: ServerProcess, name: str) -> float:
    text = httpx.get(f"{server.http.base_url}/metrics", timeout=60).text
    return float(re.findall(rf"^{name} (.*)$", text, re.M)[0])


def test_a_worker_whose_engine_hangs_is_replaced():
    with FakeServer(WORKERS=2, REQUEST_TIMEOUT=0.2) as server:
        assert ask(server, "hang").status_code == 504
        server.line_with("ended because its engine hangs; the next one starts in 0.1 s")
        server.line_with("is ready again")


def test_a_model_that_cannot_be_loaded_ends_the_start_with_one_line(tmp_path: Path):
    with ServerProcess(ready=False, WORKERS=2, MODEL_NAME=f"local-dir:{tmp_path}") as server:
        assert server.wait() == 1
        loading, error = server.output.splitlines()
        assert "/ready" in loading
        assert error.startswith("openclip-api: ")
        assert str(tmp_path) in error


def test_a_worker_that_is_killed_while_it_starts_ends_the_start():
    with FakeServer(ready=False, WORKERS=2, FAKE_LOAD_SECONDS=60) as server:
        server.wait_until_listening()
        assert ask_ready_at(server) == 503
        os.kill(workers(server)[0], signal.SIGKILL)
        assert server.wait() == 1
        assert "worker 0 ended by SIGKILL while it started: does WORKERS=2 fit into memory?" in server.output


def ask_ready_at(server: ServerProcess) -> int:
    server.http.base_url = httpx.URL(server.wait_until_listening())
    return ask_ready(server)


def test_a_stop_while_the_first_worker_loads():
    with FakeServer(ready=False, WORKERS=2, FAKE_LOAD_SECONDS=60) as server:
        assert ask_ready_at(server) == 503
        assert server.stop() == 0
        assert "Traceback" not in server.output


def test_a_worker_whose_supervisor_is_killed_while_it_starts_says_nothing():
    with FakeServer(ready=False, WORKERS=2) as server:
        wait_for(lambda: workers(server))
        (worker,) = workers(server)
        server.process.kill()
        wait_for(lambda: not is_running(worker))
        server.wait()
        assert "Traceback" not in server.output


def test_a_stop_while_the_second_worker_loads():
    with FakeServer(ready=False, WORKERS=2, FAKE_LOAD_SECONDS=2) as server:
        server.line_with("is ready after")
        wait_for(lambda: len(workers(server)) == 2)
        assert ask_ready_at(server) == 503
        assert server.stop() == 0


@pytest.mark.parametrize(
    ("settings", "part"),
    [
        ({"WORKERS": "many"}, "WORKERS='many': expected a number from 1 to 128, or auto"),
        ({"WORKERS": "2", "DEVICE": "cuda"}, "WORKERS=2 with DEVICE=cuda: one process keeps it busy, so set WORKERS=1"),
        ({"WORKERS": "2", "HOST": "203.0.113.1"}, "cannot listen on HOST='203.0.113.1'"),
    ],
)
def test_wrong_settings_end_in_one_line(settings: dict[str, str], part: str):
    with ServerProcess(ready=False, **settings) as server:
        assert server.wait() == 1
        (line,) = server.output.splitlines()
        assert line.startswith("openclip-api: ")
        assert part in line
