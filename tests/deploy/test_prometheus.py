"""The alerts and the dashboard against a real Prometheus and a real server (`make deployment`)."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest

from ..support.prometheus import DASHBOARD, prometheus_of
from ..support.repository import ROOT
from ..support.server_process import FakeServer

pytestmark = pytest.mark.deployment


def test_the_alerts_fire_when_they_should_and_only_then():
    command = ["promtool", "test", "rules", ROOT / "tests" / "deploy" / "alerts_test.yml"]
    tested = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert tested.returncode == 0, tested.stdout + tested.stderr


def test_the_configuration_is_one():
    command = ["promtool", "check", "config", ROOT / "deploy" / "prometheus" / "prometheus.yml"]
    assert subprocess.run(command, capture_output=True, timeout=60).returncode == 0


def test_each_panel_shows_something_of_a_server_under_load(tmp_path: Path):
    with FakeServer(MAX_ITEMS=2) as server, prometheus_of(str(server.http.base_url), tmp_path) as prometheus:
        start = time.time()
        while time.time() < start + 8:
            for number in range(20):
                server.http.post("/embeddings", json={"text": f"number {number}"})
            server.http.post("/embeddings", json={"text": 1})
        silent = [
            target["expr"]
            for panel in DASHBOARD["panels"]
            for target in panel["targets"]
            if not prometheus.series(target, start, time.time())
        ]
        assert all('status=~"429|503"' in expression for expression in silent)  # nothing was refused
        rules = prometheus.ask("rules")["groups"][0]["rules"]
        assert {rule["health"] for rule in rules} == {"ok"}
        assert prometheus.ask("alerts")["alerts"] == []


def test_the_dashboard_has_its_ten_panels():
    titles = [panel["title"] for panel in DASHBOARD["panels"]]
    assert len(titles) == len(set(titles)) == 10
