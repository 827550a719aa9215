"""A real Prometheus that scrapes one server each second, and what deploy/grafana-dashboard.json asks of it."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import yaml

from .free_port import free_port
from .repository import ROOT

PROMETHEUS = shutil.which("prometheus")
DASHBOARD = json.loads((ROOT / "deploy" / "grafana-dashboard.json").read_text())


class Prometheus:
    def __init__(self, http: httpx.Client) -> None:
        self.http = http

    def ask(self, path: str, **parameters: Any) -> Any:
        answer = self.http.get(f"/api/v1/{path}", params=parameters)
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]

    def series(self, target: dict[str, str], start: float, end: float) -> dict[str, list[tuple[float, float]]]:
        """The points of one of a panel's queries, by legend."""
        query = target["expr"].replace("$__rate_interval", "10s").replace("$job", "openclip-api")
        found = self.ask("query_range", query=query, start=start, end=end, step=1)["result"]
        return {
            legend(target["legendFormat"], one["metric"]): [(when, float(value)) for when, value in one["values"]]
            for one in found
        }


def legend(form: str, labels: dict[str, str]) -> str:
    for name, value in labels.items():
        form = form.replace("{{" + name + "}}", value)
    return form


@contextmanager
def prometheus_of(server: str, folder: Path) -> Iterator[Prometheus]:
    """deploy/prometheus/prometheus.yml with a second between scrapes. server: its URL."""
    settings = yaml.safe_load((ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text())
    settings["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    settings["rule_files"] = [str(ROOT / "deploy" / "prometheus" / "alerts.yml")]
    settings["scrape_configs"][0]["static_configs"][0]["targets"] = [server.partition("//")[2].rstrip("/")]
    file = folder / "prometheus.yml"
    file.write_text(yaml.safe_dump(settings))
    port = free_port()
    listen = f"--web.listen-address=127.0.0.1:{port}"
    command = [str(PROMETHEUS), f"--config.file={file}", f"--storage.tsdb.path={folder / 'data'}", listen]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as http:
            for _ in range(300):
                try:
                    if http.get("/-/ready").status_code == 200:
                        break
                except httpx.TransportError:
                    assert process.poll() is None
                time.sleep(0.1)
            yield Prometheus(http)
    finally:
        process.terminate()
        process.wait(30)
