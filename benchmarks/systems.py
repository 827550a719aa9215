"""The servers that are compared: how each is started in its own venv, and spoken to."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).parent
READY_WITHIN = 300  # seconds
TWO_WORKERS = "ours 2 workers"


@dataclass(frozen=True)
class System:
    """`command` with {port} and {cache} to be filled in."""

    name: str
    command: tuple[str, ...]
    protocol: str
    path: str
    ready: str
    environment: dict[str, str] = field(default_factory=dict)


def ours(name: str, precision: str, **settings: str) -> System:
    environment = {"MODEL_NAME": "local-dir:{cache}/ViT-B-32", "PRECISION": precision, "TEXT_CACHE_MB": "0",
                   "CACHE_DIR": "{cache}/int8", **settings}  # fmt: skip
    command = (sys.executable, "-m", "openclip_api", "serve", "--port", "{port}")
    return System(name, command, "native", "/embeddings", "/ready", environment)


def ours_on(device: str) -> System:
    """open_clip on a GPU behind our server, in the venv of `original` or, where that is not made, in this one."""
    python = HERE / ".venv-original/bin/python"
    command = (str(python) if python.exists() else sys.executable, "-m", "openclip_api", "serve", "--port", "{port}")
    environment = ours("", "auto").environment | {"DEVICE": device, "MAX_BATCH": "64"}
    return System(f"ours on {device}", command, "native", "/embeddings", "/ready", environment)


def infinity(name: str, dtype: str, device: str = "cpu") -> System:
    command = (str(HERE / ".venv-infinity/bin/infinity_emb"), "v2", "--model-id", "{cache}/hf-clip",
               "--served-model-name", "clip", "--engine", "torch", "--device", device, "--dtype", dtype,
               "--port", "{port}", "--host", "127.0.0.1")  # fmt: skip
    environment = {"DO_NOT_TRACK": "1", "INFINITY_ANONYMOUS_USAGE_STATS": "0", "HF_HUB_OFFLINE": "1"}
    return System(name, command, "infinity", "/embeddings", "/health", environment)


ORIGINAL = System(
    "original",
    (str(HERE / ".venv-original/bin/python"), str(HERE / "original.py"), "{cache}/ViT-B-32", "{port}"),
    "native",
    "/embeddings",
    "/ready",
)


def onnx(name: str, engine: str) -> System:
    """What fastembed and Immich's machine learning run, without their own servers."""
    command = (str(HERE / ".venv-onnx/bin/python"), str(HERE / "onnx_server.py"), "{cache}/onnx", "{port}", engine)
    return System(name, command, "native", "/embeddings", "/ready")


SYSTEMS = (
    ours("ours", "auto"),
    ours("ours fp32", "fp32"),
    ours("ours int8", "int8"),
    ours(TWO_WORKERS, "auto", WORKERS="2"),
    infinity("Infinity", "auto"),
    infinity("Infinity bf16", "bfloat16"),
    onnx("onnxruntime fp32", "fp32"),
    onnx("onnxruntime int8", "int8"),
    onnx("OpenVINO on ONNX", "openvino"),
    ORIGINAL,
)


@dataclass
class Running:
    system: System
    process: subprocess.Popen[bytes]
    url: str
    seconds_to_ready: float = 0

    def memory_mb(self, field: str) -> float:
        """VmRSS (now) or VmHWM (the most so far), of the process and those it started."""
        return sum(_status_kb(pid, field) for pid in _family(self.process.pid)) / 1e3

    def wait_until_idle(self, at_most: float = 20) -> None:
        """Until it and its children have used no more than a tenth of a core for a fifth of a second."""
        deadline = time.monotonic() + at_most
        while time.monotonic() < deadline:
            before = self.cpu_seconds()
            time.sleep(0.2)
            if self.cpu_seconds() - before <= 0.02:
                return

    def cpu_seconds(self) -> float:
        """User and system time: proc(5), fields 14 and 15."""
        stats = (Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in _family(self.process.pid))
        return sum(int(stat[11]) + int(stat[12]) for stat in stats) / os.sysconf("SC_CLK_TCK")

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def start(system: System, cache: Path) -> Running:
    """Start a server and wait until it says that it is ready."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    filled = {"port": str(port), "cache": str(cache)}
    environment = {key: value.format(**filled) for key, value in system.environment.items()}
    started = time.perf_counter()
    with (cache / f"{system.name.replace(' ', '_')}.log").open("wb") as log:
        process = subprocess.Popen(
            [part.format(**filled) for part in system.command], env=os.environ | environment, stdout=log, stderr=log
        )
    running = Running(system, process, f"http://127.0.0.1:{port}")
    while not _answers(running.url + system.ready):
        if process.poll() is not None or time.perf_counter() > started + READY_WITHIN:
            running.stop()
            raise SystemExit(f"{system.name} did not start: see {log.name}")
        time.sleep(0.05)
    running.seconds_to_ready = time.perf_counter() - started
    return running


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status == 200
    except OSError:
        return False


def _family(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(descendant for child in children for descendant in _family(int(child)))]


def _status_kb(pid: int, field: str) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field))
