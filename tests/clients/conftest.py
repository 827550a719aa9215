"""The protocols' own clients against a real server. They have a venv of their own: see `make clients`."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from importlib.util import find_spec

import numpy as np
import pytest

from ..support.repository import ROOT
from ..support.server_process import ServerProcess

# Where the clients are not installed, as in .venv, there is nothing to collect.
collect_ignore_glob = [] if find_spec("openai") else ["test_*.py"]

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # else litellm asks GitHub at its import

Reference = Callable[..., np.ndarray]


@pytest.fixture(scope="session")
def server() -> Iterator[ServerProcess]:
    python = ROOT / ".venv" / "bin" / "python"
    with ServerProcess(str(python), "-m", "openclip_api", "serve", MODEL_NAME="emoji") as process:
        yield process
        assert process.stop() == 0


@pytest.fixture(scope="session")
def url(server: ServerProcess) -> str:
    return str(server.http.base_url).rstrip("/")


@pytest.fixture(scope="session")
def closed() -> Iterator[str]:
    """A server that wants the key "right"."""
    python = ROOT / ".venv" / "bin" / "python"
    with ServerProcess(str(python), "-m", "openclip_api", "serve", MODEL_NAME="emoji", API_KEY="right") as process:
        yield str(process.http.base_url).rstrip("/")


def texts(count: int) -> list[str]:
    return [f"thing {i}" for i in range(count)]


def node(code: str, *arguments: str) -> dict:
    """What a module prints as JSON, run where `make clients` installed the packages of Node."""
    if shutil.which("node") is None:
        pytest.skip("no Node here")
    command = ["node", "--input-type=module", "-", *arguments]
    folder = ROOT / ".venv-clients" / "npm"
    done = subprocess.run(command, cwd=folder, input=code, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="session")
def picture() -> str:
    return base64.b64encode((ROOT / "samples" / "cat.png").read_bytes()).decode()


@pytest.fixture
def unit(server: ServerProcess) -> Reference:
    """What the native route gives for the same texts and images, at length 1."""

    def ask(**body: object) -> np.ndarray:
        answer = server.http.post("/embeddings", json={**body, "normalize": True}).json()
        return np.array(answer["embeddings"], np.float32)

    return ask
