"""find() against a real hub over HTTP: each start is a process of its own, as a user's is."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

from ..support import start as start_module
from ..support.forked_start import environment, start
from ..support.hub_server import Hang, Hub
from .conftest import CONFIG, NAME, REPO, SHA256, WEIGHTS, weights, with_tokenizer

LAION = "laion/CLIP-ViT-B-32-laion2B-s34B-b79K"


def test_a_repository(hub: Hub, home: Path):
    result = start(home, NAME, HF_ENDPOINT=hub.url)

    assert result["value"] == 1
    assert result["sha256"] == SHA256
    assert result["config"] == CONFIG["model_cfg"]
    assert result["progress"][-1] == ("downloading", len(weights()), len(weights()))


def test_a_revision(hub: Hub, home: Path):
    first = hub.commit(REPO)
    hub.revisions |= {first, "v1"}

    assert start(home, f"{NAME}@v1", HF_ENDPOINT=hub.url)["value"] == 1
    assert start(home, f"{NAME}@{first}", HF_ENDPOINT=hub.url)["value"] == 1


def test_a_name_and_tag_of_the_table(hub: Hub, home: Path):
    hub.repos[LAION] = {"open_clip_model.safetensors": weights(2)}
    result = start(home, "ViT-B-32", "laion2b_s34b_b79k", HF_ENDPOINT=hub.url)

    assert result["value"] == 2
    assert result["config"]["embed_dim"] == 512


def test_a_file_named_in_the_table(hub: Hub, home: Path):
    hub.repos["jienengchen/ViTamin-S"] = {"pytorch_model.bin": b"PK", "pytorch_model.safetensors": weights(3)}

    assert start(home, "ViTamin-S", HF_ENDPOINT=hub.url)["value"] == 3


def test_a_tokenizer_of_its_own(hub: Hub, home: Path):
    with_tokenizer(hub, "org/words", {"tokenizer.json": b"{}", "tokenizer_config.json": b"{}"})
    result = start(home, NAME, HF_ENDPOINT=hub.url)

    assert sorted(path.name for path in Path(result["tokenizer"]).iterdir()) == [
        "tokenizer.json",
        "tokenizer_config.json",
    ]


@pytest.mark.parametrize("settings", [{}, {"HF_HUB_OFFLINE": "1"}, {"HF_ENDPOINT": "http://127.0.0.1:9"}])
def test_a_warm_start_asks_no_network(hub: Hub, home: Path, settings: dict[str, str]):
    start(home, NAME, HF_ENDPOINT=hub.url)
    hub.requests.clear()
    result = start(home, NAME, **{"HF_ENDPOINT": hub.url, **settings})

    assert result["value"] == 1
    assert hub.requests == []


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"HF_ENDPOINT": "http://127.0.0.1:9"}, "Connection refused"),
        ({"HF_ENDPOINT": "http://hub.invalid"}, "http://hub.invalid"),
        ({"HF_ENDPOINT": "hub.example"}, "missing an 'http://' or 'https://' protocol"),
        ({"HF_HUB_OFFLINE": "1"}, "HF_HUB_OFFLINE is set"),
        ({"HF_HUB_ETAG_TIMEOUT": "1"}, "timed out"),
    ],
)
def test_a_hub_that_cannot_be_reached(hub: Hub, home: Path, settings: dict[str, str], reason: str):
    hub.fault = Hang(file="")
    began = time.monotonic()
    result = start(home, NAME, **{"HF_ENDPOINT": hub.url, **settings})

    assert result["error"] == "HubUnreachable"
    assert result["message"].startswith(f"cannot fetch {REPO} from ")
    assert reason in result["message"]
    for way_out in ("MODEL_NAME=emoji", "MODEL_NAME=local-dir:", "CACHE_DIR"):
        assert way_out in result["message"]
    assert time.monotonic() - began < 15


def test_a_xet_storage_that_cannot_be_reached(hub: Hub, home: Path):
    pytest.importorskip("hf_xet")
    hub.xet = "http://127.0.0.1:9"
    settings = {"HF_ENDPOINT": hub.url, "HF_XET_CLIENT_RETRY_MAX_ATTEMPTS": "0"}
    result = start(home, NAME, **settings)

    assert result["error"] == "HubUnreachable"
    assert f"cannot fetch {REPO} from {hub.url} (" in result["message"]
    assert "HF_HUB_DISABLE_XET=1 fetches it without Xet storage" in result["message"]
    assert start(home, NAME, HF_HUB_DISABLE_XET=1, **settings)["value"] == 1


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("hf-hub:org/nope", "UnknownModel", "has no repository 'org/nope' (or it is private: set HF_TOKEN)"),
        (f"{NAME}@v9", "UnknownModel", f"{REPO} has no revision 'v9'"),
        (
            "hf-hub:org/notes",
            "UnknownModel",
            "org/notes has no open_clip_config.json: it is not an OpenCLIP repository",
        ),
        ("hf-hub:org/bare", "UnknownModel", "org/bare has no weights of open_clip's (open_clip_model.safetensors, "),
        ("hf-hub:org/gated", "UnknownModel", "org/gated is gated: accept its terms at "),
    ],
)
def test_a_repository_that_does_not_have_it(hub: Hub, home: Path, name: str, error: str, message: str):
    config = json.dumps(CONFIG).encode()
    hub.repos["org/notes"] = {"README.md": b"notes"}
    hub.repos["org/bare"] = {"open_clip_config.json": config}
    hub.repos["org/gated"] = hub.repos[REPO]
    hub.gated.add("org/gated")
    result = start(home, name, HF_ENDPOINT=hub.url)

    assert result["error"] == error
    assert message in result["message"]


def test_tokens(hub: Hub, home: Path):
    hub.gated.add(REPO)
    refused = start(home, NAME, HF_ENDPOINT=hub.url, HF_TOKEN="hf_wrong")

    assert refused["error"] == "UnknownModel"
    assert "the hub refuses the token for org/small: set HF_TOKEN" in refused["message"]
    assert "hf_wrong" not in refused["message"]
    assert start(home, NAME, HF_ENDPOINT=hub.url, HF_TOKEN=hub.token)["value"] == 1


def test_a_tokenizer_without_tokenizer_json(hub: Hub, home: Path):
    with_tokenizer(hub, "org/words", {"spiece.model": b"", "tokenizer_config.json": b"{}"})
    result = start(home, NAME, HF_ENDPOINT=hub.url)

    assert result["error"] == "UnsupportedModel"
    assert "tokenizer org/words has none of tokenizer.json; only tokenizers saved as" in result["message"]


def in_a_subprocess(home: Path, hub: Hub, stderr: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, str(Path(start_module.__file__)), NAME]
    settings = environment(home, HF_ENDPOINT=hub.url)
    return subprocess.Popen(command, env=settings, stdout=subprocess.PIPE, stderr=stderr)


def test_a_terminal_shows_a_progress_bar(hub: Hub, home: Path):
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
    with in_a_subprocess(home, hub, theirs) as process:
        os.close(theirs)
        output = b""
        with contextlib.suppress(OSError):  # Linux's way to say that the other end is closed
            while block := os.read(ours, 4096):
                output += block
        os.close(ours)

    assert process.returncode == 0, output
    assert WEIGHTS.encode()[-20:] in output
    assert b"100%" in output


def test_no_terminal_no_progress_bar(hub: Hub, home: Path):
    with in_a_subprocess(home, hub, subprocess.PIPE) as process:
        output, errors = process.communicate()

    assert json.loads(output)["value"] == 1
    assert errors == b""
