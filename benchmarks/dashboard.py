"""Draws deploy/grafana-dashboard.json as docs/dashboard.png: a real server under load, a real Prometheus, ten queries.

Needs prometheus and matplotlib: `benchmarks/.venv/bin/python -m benchmarks.dashboard`. Two minutes.
"""

from __future__ import annotations

import io
import sys
import tempfile
import threading
import time
from pathlib import Path

import httpx
import matplotlib
from PIL import Image

from tests.support.prometheus import DASHBOARD, Prometheus, prometheus_of
from tests.support.repository import ROOT
from tests.support.server_process import ServerProcess

SECONDS = 100
matplotlib.use("agg")
from matplotlib import pyplot  # noqa: E402  after the choice of what draws


def load(url: str, clients: int, seconds: float) -> None:
    """Texts and pictures from so many clients, and a wrong request now and then."""
    file = io.BytesIO()
    Image.effect_noise((640, 480), 60).convert("RGB").save(file, "JPEG")
    until = time.monotonic() + seconds

    def ask(client: int) -> None:
        with httpx.Client(base_url=url, timeout=60) as http:
            number = 0
            while time.monotonic() < until:
                number += 1
                if number % 50 == 0:
                    http.post("/embeddings", json={"text": 1})
                elif client % 2:
                    http.post("/embeddings", files={"image": file.getvalue()})
                else:
                    http.post("/embeddings", json={"text": f"{client} {number}"})

    threads = [threading.Thread(target=ask, args=(client,)) for client in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def draw(prometheus: Prometheus, start: float, end: float, path: Path) -> None:
    figure, axes = pyplot.subplots(5, 2, figsize=(12, 15), layout="constrained")
    for panel, axis in zip(DASHBOARD["panels"], axes.flat, strict=True):
        axis.set_title(panel["title"], loc="left", fontsize=11, fontweight="bold")
        for target in panel["targets"]:
            for name, points in prometheus.series(target, start, end).items():
                axis.plot([when - start for when, _ in points], [value for _, value in points], label=name)
        axis.set_xlim(0, end - start)
        axis.set_ylim(bottom=0)
        axis.set_ylabel({"reqps": "a second", "s": "seconds"}.get(panel["fieldConfig"]["defaults"]["unit"], ""))
        axis.grid(alpha=0.3)
        if axis.get_lines():
            axis.legend(fontsize=8, loc="upper left")
    figure.savefig(path, dpi=70)


def main() -> None:
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "dashboard.png"
    settings = {"MODEL_NAME": "emoji", "MAX_QUEUE": 24, "TEXT_CACHE_MB": 0}
    with tempfile.TemporaryDirectory() as folder, ServerProcess(**settings) as server:
        url = str(server.http.base_url).rstrip("/")
        with prometheus_of(url, Path(folder)) as prometheus:
            start = time.time()
            for clients in (1, 4, 16, 48, 4):
                load(url, clients, SECONDS / 5)
            draw(prometheus, start, time.time(), path)


if __name__ == "__main__":
    main()
