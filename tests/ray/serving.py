"""`serve run openclip_api.server.ray_serve:app` as a process, on a Ray cluster of the test's own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx

from ..support.free_port import free_port
from ..support.server_process import ServerProcess

SERVE = str(Path(sys.executable).with_name("serve"))


class RayServer(ServerProcess):
    """Settings come from its environment; arguments are those of `serve run`."""

    def __init__(self, address: str, *arguments: str, ready: bool = True, **settings: Any) -> None:
        port = free_port()
        http = ["--http-host", "127.0.0.1", "--http-port", str(port)]
        environment = {**os.environ, "RAY_ADDRESS": address, "RAY_USAGE_STATS_ENABLED": "0"}
        subprocess.run([SERVE, "start", *http], env=environment, check=True, capture_output=True, timeout=120)
        self._port = port
        run = [SERVE, "run", "openclip_api.server.ray_serve:app", *arguments]
        super().__init__(*run, ready=ready, RAY_ADDRESS=address, **settings)

    def wait_until_ready(self) -> None:
        self.http.base_url = httpx.URL(f"http://127.0.0.1:{self._port}")
        self._wait(self._answers, timeout=150)

    def _answers(self) -> bool:
        try:
            return self.http.get("/ready").status_code == 200
        except httpx.TransportError:
            time.sleep(0.2)
            return False
