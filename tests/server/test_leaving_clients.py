"""Clients that leave, each at another moment of its request: nothing stays in flight, and no count goes astray."""

from __future__ import annotations

import base64
import json
import socket
import struct
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from ..conftest import Encode
from ..support.raw_http import connect, http_request, wait_for
from ..support.server_process import FakeServer
from ..support.upstream import Upstream

pytestmark = [pytest.mark.process, pytest.mark.slow]
TIMEOUT = 0.3  # seconds; some leave in the moment when their time is over
MOMENTS = [i / 100 for i in range(0, 40, 2)] + [TIMEOUT + i / 1000 for i in range(-8, 9, 2)]
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close() sends a reset


def leave(server: FakeServer, sent: bytes, seconds: float, resets: bool) -> None:
    with connect(server) as client:
        client.sendall(sent)
        if resets:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        time.sleep(seconds)


def image_by_url(handler) -> None:
    time.sleep(0.2)
    handler.send_response(404)
    handler.end_headers()


def bodies(photo: Encode) -> dict[str, bytes]:
    image = base64.b64encode(photo(size=(640, 480))).decode()
    asked = {
        "texts": ("/embeddings", {"text": [f"a {i}" for i in range(40)]}),
        "images": ("/embeddings", {"image": [image] * 3, "text": "a"}),
        "classify": ("/classify", {"image": image, "labels": [str(i) for i in range(60)], "templates": ["{}", "a {}"]}),
        "URLs": ("/embeddings", {"image": [f"http://ok.test/{i}" for i in range(12)]}),
        "a wrong field": ("/embeddings", {"text": 1, "x": "a" * 300_000}),
    }
    sent = {name: http_request(json.dumps(body).encode(), path) for name, (path, body) in asked.items()}
    return {
        **sent,
        "half a body": sent["images"][:-1000],
        "half of the headers": sent["texts"][:40],
        "two requests": sent["texts"] * 2,
    }


def test_nothing_stays_of_clients_that_left(photo: Encode):
    with (
        Upstream({f"/{i}": image_by_url for i in range(12)}) as upstream,
        FakeServer(
            FAKE_ITEM_SECONDS=0.01,
            MAX_BATCH=4,
            REQUEST_TIMEOUT=TIMEOUT,
            BODY_TIMEOUT=1,
            ALLOW_IMAGE_URLS="true",
            FAKE_UPSTREAM=f"ok.test={upstream.port}",
        ) as server,
    ):
        for sent in bodies(photo).values():
            with ThreadPoolExecutor(16) as clients:
                for resets in (False, True):
                    list(clients.map(partial(leave, server, sent, resets=resets), MOMENTS))
        for count, left in (("requests_under_way", 1), ("bodies_bytes", 0), ("queue_items", 0), ("queue_bytes", 0)):
            wait_for(lambda count=count, left=left: server.metric(f"openclip_{count}") == left)
        assert server.http.post("/embeddings", json={"text": "a"}).status_code == 200
        assert server.metric("openclip_requests_total", status="500") == 0, server.output[-6000:]
        assert server.stop() == 0
        assert "Traceback" not in server.output
