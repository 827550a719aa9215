"""The server without its engine: what the way from the socket to the engine costs. Prints core-milliseconds a request.

python front_end.py FOLDER        a model's folder, such as random_checkpoint.py writes; Linux

The server is a process of its own with an engine that answers at once; its CPU time is read before and after, decoders
included. That is what other work on the machine moves least.
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from captions import short_captions
from photographs import photographs

import openclip_api
from openclip_api.server.run import run
from openclip_api.settings import read_settings

PORT = 7899
CLIENTS = 8
TEXTS, IMAGES = 3000, 600
CACHED, SHORT, JPEGS = "a text from the cache", "short texts", "JPEGs of 451 x 300"
DECODED = "a JPEG decoded in a loop, no server"


class InstantEngine:
    def __init__(self, width: int) -> None:
        self._width = width

    def encode_images(self, pixels: Any) -> Any:
        return np.ones((len(pixels), self._width), np.float32)

    encode_texts = encode_images

    def close(self) -> None:
        pass


def load(name: str, tag: str | None, options: Any, *, model_id: str | None, report: Any) -> Any:
    embedder = openclip_api.load(name, tag, options, model_id=model_id, report=report)
    embedder._engine.close()
    embedder._engine = InstantEngine(embedder.info.embed_dim)
    return embedder


def processes(pid: int) -> Iterator[int]:
    """It and its descendants."""
    yield pid
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in children.read_text().split():
            yield from processes(int(child))


def cpu_milliseconds(pid: int) -> float:
    ticks = 0
    for process in processes(pid):
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])  # utime, stime
    return 1000 * ticks / os.sysconf("SC_CLK_TCK")


def ask(bodies: list[bytes | None]) -> None:
    """One after the other, on one connection; None asks for /health."""
    connection = http.client.HTTPConnection("127.0.0.1", PORT)
    for body in bodies:
        if body is None:
            connection.request("GET", "/health")
        else:
            connection.request("POST", "/embeddings", body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 200


def measure(pid: int, bodies: list[bytes | None]) -> float:
    """Core-milliseconds a request."""
    before = cpu_milliseconds(pid)
    with ThreadPoolExecutor(CLIENTS) as clients:
        list(clients.map(ask, [bodies[n::CLIENTS] for n in range(CLIENTS)]))
    return (cpu_milliseconds(pid) - before) / len(bodies)


def wait_until_ready() -> None:
    for _ in range(300):
        try:
            connection = http.client.HTTPConnection("127.0.0.1", PORT)
            connection.request("GET", "/ready")
            if connection.getresponse().status == 200:
                return
        except OSError:
            pass
        time.sleep(0.2)
    raise TimeoutError("the server is not ready")


def decoding_alone(folder: str, images: list[bytes]) -> float:
    """Core-milliseconds an image."""
    embedder = openclip_api.load(f"local-dir:{folder}")
    for image in images[:8]:
        embedder._read_image(image)
    started = time.process_time()
    for image in images:
        embedder._read_image(image)
    spent = time.process_time() - started
    embedder.close()
    return 1000 * spent / len(images)


def core_milliseconds(folder: str) -> Iterator[tuple[str, float]]:
    """What is asked, and what it costs a request."""
    images = list(photographs(IMAGES, 451, 300))
    bodies: dict[str, list[bytes | None]] = {
        "/health": [None] * TEXTS,
        CACHED: [json.dumps({"text": "red sofa"}).encode()] * TEXTS,
        SHORT: [json.dumps({"text": text}).encode() for text in short_captions(TEXTS)],
        JPEGS: [json.dumps({"image": base64.b64encode(image).decode()}).encode() for image in images],
    }
    server = subprocess.Popen([sys.executable, __file__, "serve", folder], stderr=subprocess.DEVNULL)
    try:
        wait_until_ready()
        for name, of_kind in bodies.items():
            measure(server.pid, of_kind[-64:])
            yield name, measure(server.pid, of_kind[:-64])
    finally:
        server.terminate()
        server.wait()
    yield DECODED, decoding_alone(folder, images)


def main(folder: str) -> None:
    print("| request | core-ms | a second and core |\n|---|---|---|")
    for name, spent in core_milliseconds(folder):
        print(f"| {name} | {spent:.2f} | {1000 / spent:.0f} |", flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        run(read_settings(model_name=f"local-dir:{sys.argv[2]}", port=PORT, host="127.0.0.1"), load)
    else:
        main(sys.argv[1])
