"""The real server process, started as a user starts it and spoken to over HTTP."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from types import TracebackType
from typing import Any

import httpx

from .process_tree import children, decoders

# Settings that a developer may have in the shell must not reach the server under test.
OURS = re.compile(
    r"(MODEL|HF|MAX|CORS|AIP|SAGEMAKER)_|MODELS$|HOST$|PORT$|DEVICE$|PRECISION$|THREADS$|WORKERS$|SELF_CHECK$|CACHE_DIR$|LOG_LEVEL$|LOG_FORMAT$|REQUEST_TIMEOUT$|BODY_TIMEOUT$|GRACE_SECONDS$|API_KEY$|STORE$|ALLOW_IMAGE_URLS$|ALLOWED_HOSTS$|DECODE$|URL_|TEXT_CACHE_MB$|JPEG_SCALING$|IMAGE_"
)

TEST_WORKERS = int(os.environ.get("TEST_WORKERS") or 1)


class ServerProcess:
    """A command that serves (by default this package) on a free port; ready=False does not wait for the model.

    Each has TEST_WORKERS workers, as the environment says: `WORKERS=2 make clients`, and `make chaos`.
    """

    def __init__(self, *command: str, ready: bool = True, **settings: Any) -> None:
        environment = {key: value for key, value in os.environ.items() if not OURS.match(key)}
        environment |= {"PORT": "0", "HF_HUB_DISABLE_TELEMETRY": "1"}
        environment["WORKERS"] = str(TEST_WORKERS)
        environment |= {key: str(value) for key, value in settings.items()}
        self.process = subprocess.Popen(
            command or (sys.executable, "-m", "openclip_api", "serve"),
            env=environment,
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
        )
        self.stderr: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.http = httpx.Client(timeout=30)
        if ready:
            try:
                self.wait_until_ready()
            except BaseException:
                self.__exit__()
                raise

    def __enter__(self) -> ServerProcess:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.http.close()
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._reader.join()
        assert self.process.stderr is not None
        self.process.stderr.close()

    def wait_until_listening(self) -> str:
        """The server's URL, as its first line tells it."""
        return self._wait(lambda: next(iter(re.findall(r"http://[\w.]+:\d+", self.output)), None))

    def line_with(self, part: str) -> str:
        """The first line of the log that has it. A line may come a moment after the answer that it belongs to."""
        return self._wait(lambda: next((line for line in self.output.splitlines() if part in line), None))

    def wait_until_ready(self) -> None:
        self.http.base_url = httpx.URL(self.wait_until_listening())
        self._wait(lambda: self.http.get("/ready").status_code == 200)

    def stop(self) -> int:
        """SIGTERM; returns the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.wait()

    def wait(self, timeout: float = 30) -> int:
        code = self.process.wait(timeout)
        self._reader.join()
        return code

    @property
    def serving(self) -> list[int]:
        """The processes that answer: the workers, or the only one."""
        pid = self.process.pid
        return [child for child in children(pid) if child not in decoders(pid)] or [pid]

    @property
    def output(self) -> str:
        return "".join(self.stderr)

    def _wait(self, condition: Any, timeout: float = 60) -> Any:
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise AssertionError(f"the server ended with {self.process.returncode}: {self.output}")
            if value := condition():
                return value
            time.sleep(0.02)
        raise AssertionError(f"not within {timeout} s: {self.output}")

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.stderr.append(line)


class FakeServer(ServerProcess):
    """The server on tests.support.fake_server's engine: FAKE_BATCH_SECONDS=0.2 and so on."""

    def __init__(self, ready: bool = True, **settings: Any) -> None:
        super().__init__(
            sys.executable, "-m", "tests.support.fake_server", ready=ready, **{"TEXT_CACHE_MB": 0} | settings
        )

    def metric(self, name: str, **labels: str) -> float:
        """The sum of what /metrics shows of it with these labels."""
        lines = [line for line in self.http.get("/metrics").text.splitlines() if line.split("{")[0].split()[0] == name]
        wanted = [f'{key}="{value}"' for key, value in labels.items()]
        return sum(float(line.rpartition(" ")[2]) for line in lines if all(part in line for part in wanted))
