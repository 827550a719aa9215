"""What Ray Serve adds: replicas that come with the load, and queues that end."""

from __future__ import annotations

import base64
import io
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from .conftest import Nodes, family
from .serving import RayServer

pytestmark = pytest.mark.process


def pictures(seed: int) -> list[str]:
    """Eight images that take long to decode, unlike any other's."""
    found = []
    for picture in np.random.default_rng(seed).integers(0, 255, (8, 40, 40, 3), np.uint8):
        file = io.BytesIO()
        Image.fromarray(picture).resize((1400, 1400)).save(file, "PNG", compress_level=1)
        found.append(base64.b64encode(file.getvalue()).decode())
    return found


def replicas(node: Any) -> int:
    lines = [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in family(node)]
    return sum(line.startswith(b"ray::ServeReplica") for line in lines)


@contextmanager
def load(server: RayServer, clients: int) -> Iterator[Counter[int]]:
    """So many clients that ask for texts without a pause; the answers' statuses."""
    statuses: Counter[int] = Counter()
    ended = threading.Event()

    def ask(client: int) -> None:
        number = 0
        while not ended.is_set():
            number += 1
            asked = {"text": [f"{client} {number} {n}" for n in range(8)]}
            statuses[server.http.post("/embeddings", json=asked).status_code] += 1

    with ThreadPoolExecutor(clients) as pool:
        asking = [pool.submit(ask, client) for client in range(clients)]
        try:
            yield statuses
        finally:
            ended.set()
        for future in asking:
            future.result()


def test_what_is_beyond_the_queue_gets_429(nodes: Nodes):
    nodes.add(num_cpus=1)
    settings = {"MODEL_NAME": "emoji", "THREADS": 1, "MAX_BATCH": 1, "MAX_QUEUE": 8}
    with RayServer(nodes.address, "max_replicas=1", **settings) as server:
        asked = [{"image": pictures(seed), "normalize": True} for seed in range(24)]
        with ThreadPoolExecutor(24) as clients:
            answers = list(clients.map(lambda body: server.http.post("/embeddings", json=body), asked))
        statuses = Counter(answer.status_code for answer in answers)
        assert set(statuses) == {200, 429}, statuses
        assert all(answer.headers["retry-after"] for answer in answers if answer.status_code == 429)
        again = server.http.post("/embeddings", json=asked[0])
        assert np.linalg.norm(np.array(again.json()["embeddings"]), axis=1) == pytest.approx(np.ones(8))


def test_a_second_replica_comes_with_the_load(nodes: Nodes):
    node = nodes.add(num_cpus=2)
    settings = {"MODEL_NAME": "emoji", "THREADS": 1, "MAX_BATCH": 2, "MAX_QUEUE": 512}
    with RayServer(nodes.address, "max_replicas=2", **settings) as server:
        assert replicas(node) == 1
        with load(server, 12) as statuses:
            deadline = time.monotonic() + 150
            while replicas(node) < 2:
                assert time.monotonic() < deadline, statuses
                time.sleep(0.5)
        assert set(statuses) == {200}


def test_settings_as_arguments_and_a_model_that_is_not_there(nodes: Nodes):
    nodes.add(num_cpus=1)
    with RayServer(nodes.address, "model_name=local-dir:/nowhere", "threads=1", ready=False) as server:
        server._wait(lambda: "MODEL_NAME='local-dir:/nowhere': no such file or folder" in server.output, timeout=120)
