"""find() against a real hub over HTTP: each start is a process of its own, as a user's is."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from ..support import start as start_module
from ..support.forked_start import Start, environment, start
from ..support.hub_server import Altered, Cut, Fault, Hang, Hub, Portal, Slow, Status, WrongSize
from .conftest import CONFIG, REPO, WEIGHTS, small_repository, weights

NAME = f"hf-hub:{REPO}"
LAION = "laion/CLIP-ViT-B-32-laion2B-s34B-b79K"
SHA256 = hashlib.sha256(weights()).hexdigest()
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")

Spoil = Callable[[bytes], bytes]


def blob(home: Path) -> Path:
    """The cached weights themselves, behind the cache's links."""
    (link,) = home.glob(f".cache/huggingface/hub/models--*/snapshots/*/{WEIGHTS}")
    return link.resolve()


def web_page(_: bytes) -> bytes:
    return b"<!doctype html><title>Log in</title>"


def flip(content: bytes) -> bytes:
    return content[:-1] + bytes([content[-1] ^ 1])


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


def with_tokenizer(hub: Hub, repo: str, files: dict[str, bytes]) -> None:
    config = {**CONFIG, "model_cfg": {**CONFIG["model_cfg"], "text_cfg": {"hf_tokenizer_name": repo}}}
    hub.repos[REPO]["open_clip_config.json"] = json.dumps(config).encode()
    hub.repos[repo] = dict(files)


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
        ("hf-hub:org/nope", "UnknownModel", "the hub has no repository 'org/nope' (or it is private: set HF_TOKEN)"),
        (f"{NAME}@v9", "UnknownModel", f"{REPO} has no revision 'v9'"),
        (
            "hf-hub:org/notes",
            "UnknownModel",
            "org/notes has no open_clip_config.json: it is not an OpenCLIP repository",
        ),
        ("hf-hub:org/bare", "UnknownModel", "org/bare has no safetensors weights (open_clip_model.safetensors, "),
        (
            "hf-hub:org/pickle",
            "UnsupportedModel",
            "org/pickle has its weights only as open_clip_pytorch_model.bin, a pickle",
        ),
        ("hf-hub:org/gated", "UnknownModel", "org/gated is gated: accept its terms at "),
    ],
)
def test_a_repository_that_does_not_have_it(hub: Hub, home: Path, name: str, error: str, message: str):
    config = json.dumps(CONFIG).encode()
    hub.repos["org/notes"] = {"README.md": b"notes"}
    hub.repos["org/bare"] = {"open_clip_config.json": config}
    hub.repos["org/pickle"] = {"open_clip_config.json": config, "open_clip_pytorch_model.bin": b"PK\x03\x04"}
    hub.repos["org/gated"] = hub.repos[REPO]
    hub.gated.add("org/gated")
    result = start(home, name, HF_ENDPOINT=hub.url)

    assert result["error"] == error
    assert message in result["message"]
    assert hub.downloads(".bin") == []


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


@pytest.mark.parametrize(
    "fault",
    [
        Status(500, times=1, file=""),
        Status(429, {"Retry-After": "0"}, times=1, file=""),
        Status(503, method="GET", times=1),
        Cut(1000, times=1),
        Cut(1000, times=1, reset=True),
        Altered(web_page, times=3),  # both HEADs and the GET
        Slow(0.01),
    ],
    ids=str,
)
def test_a_fault_that_passes_does_no_harm(hub: Hub, home: Path, fault: Fault):
    hub.fault = fault
    result = start(home, NAME, HF_ENDPOINT=hub.url)

    assert result["value"] == 1
    assert result["sha256"] == SHA256
    assert result["progress"][-1] == ("downloading", len(weights()), len(weights()))


LASTING = [
    (Status(500, file=""), "HubUnreachable", "(500 Internal Server Error)"),
    (Status(429, file=""), "HubUnreachable", "(429 Too Many Requests)"),
    (Status(503, method="GET"), "HubUnreachable", "(503 Service Unavailable)"),
    (Status(404, file=""), "HubUnreachable", "(404 Not Found)"),
    (Portal(file=""), "HubUnreachable", "not a hub: check HF_ENDPOINT"),
    (Cut(1000), "HubUnreachable", "peer closed connection"),
    (Cut(1000, reset=True), "HubUnreachable", "reset by peer"),
    (Hang(1000), "HubUnreachable", "timed out"),
    (WrongSize(5), "HubUnreachable", "should be of size"),
    (Altered(web_page), "CorruptCheckpoint", "is not a whole safetensors file (it is a web page)"),
    (Altered(lambda _: b""), "CorruptCheckpoint", "is not a whole safetensors file (header too small)"),
    (Altered(lambda content: content[:-9]), "CorruptCheckpoint", "is not a whole safetensors file (incomplete"),
]


@pytest.fixture(scope="module")
def lasting(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """A start under each of the lasting faults and one after it; all at once, as most of it is waiting."""

    def both(fault: Fault) -> tuple[dict[str, Any], dict[str, Any]]:
        home = tmp_path_factory.mktemp("home")
        with Hub({REPO: small_repository()}) as hub:
            hub.fault = fault
            failed = start(home, NAME, HF_ENDPOINT=hub.url, HF_HUB_ETAG_TIMEOUT=1, HF_HUB_DOWNLOAD_TIMEOUT=1)
            hub.fault = None
            return failed, start(home, NAME, HF_ENDPOINT=hub.url)

    with ThreadPoolExecutor(len(LASTING)) as pool:
        return list(pool.map(both, [fault for fault, *_ in LASTING]))


@pytest.mark.parametrize("case", range(len(LASTING)), ids=[str(fault) for fault, *_ in LASTING])
def test_a_fault_that_lasts_ends_the_start_and_the_next_start_repairs(lasting: list[Any], case: int):
    _, error, message = LASTING[case]
    failed, repaired = lasting[case]

    assert failed["error"] == error
    assert message in failed["message"]
    assert (repaired["value"], repaired["sha256"]) == (1, SHA256)


def test_a_flipped_bit_is_found_by_the_promised_sha256(hub: Hub, home: Path):
    hub.fault = Altered(flip)
    result = start(home, NAME, HF_ENDPOINT=hub.url)

    assert result["error"] == "CorruptCheckpoint"
    assert result["message"].startswith(f"{blob(home)} is damaged (its SHA-256 is ")
    assert result["message"].endswith("delete it and start again")

    # what the message says to do helps
    hub.fault = None
    blob(home).unlink()
    assert start(home, NAME, HF_ENDPOINT=hub.url)["value"] == 1


def test_a_cut_download_goes_on_where_it_stopped(hub: Hub, home: Path):
    hub.repos[REPO][WEIGHTS] = weights(5, floats=3 << 20)
    hub.fault = Cut(11 << 20, times=1)
    result = start(home, NAME, HF_ENDPOINT=hub.url)

    first, second = hub.downloads(WEIGHTS)
    assert result["value"] == 5
    assert (first.range, second.range) == (None, f"bytes={10 << 20}-")  # huggingface_hub writes blocks of 10 MiB
    assert second.sent == len(weights(5, floats=3 << 20)) - (10 << 20)


@pytest.mark.parametrize(
    "spoil", [web_page, lambda content: content[:1000], lambda _: b""], ids=["html", "cut", "empty"]
)
def test_a_damaged_file_in_the_cache(hub: Hub, home: Path, spoil: Spoil):
    start(home, NAME, HF_ENDPOINT=hub.url)
    spoiled = blob(home)
    spoiled.write_bytes(spoil(spoiled.read_bytes()))

    offline = start(home, NAME, HF_ENDPOINT="http://127.0.0.1:9")
    assert offline["error"] == "CorruptCheckpoint"
    assert offline["message"].startswith(f"{spoiled} is not a whole safetensors file")
    assert "fetching it anew failed: cannot fetch" in offline["message"]
    assert "Connection refused" in offline["message"]

    hub.requests.clear()
    repaired = start(home, NAME, HF_ENDPOINT=hub.url)
    assert (repaired["value"], repaired["sha256"]) == (1, SHA256)
    assert len(hub.downloads()) == 1

    hub.requests.clear()
    assert start(home, NAME, HF_ENDPOINT=hub.url)["value"] == 1
    assert hub.requests == []


def test_a_damaged_config_in_the_cache_is_fetched_anew(hub: Hub, home: Path):
    with_tokenizer(hub, "org/words", {"tokenizer.json": b"{}", "tokenizer_config.json": b'{"a": 1}'})
    start(home, NAME, HF_ENDPOINT=hub.url)
    spoiled = [path.resolve() for path in home.glob(".cache/huggingface/hub/models--*/snapshots/*/*.json")]
    assert len(set(spoiled)) == 3
    for path in spoiled:
        path.write_text("<html>Log in</html>")
    hub.requests.clear()

    assert start(home, NAME, HF_ENDPOINT=hub.url)["value"] == 1
    assert len(hub.downloads(".json")) == 3
    assert hub.downloads(WEIGHTS) == []


def test_config_and_weights_are_of_one_commit(hub: Hub, home: Path):
    """The config is in the cache, the weights are not yet, and the repository has moved on."""
    old = hub.commit(REPO)
    hub.fault = Status(404)
    start(home, NAME, HF_ENDPOINT=hub.url)
    hub.fault = None
    hub.repos[REPO]["README.md"] = b"new"
    hub.revisions.add(old)
    result = start(home, NAME, HF_ENDPOINT=hub.url)

    assert Path(result["weights"]).parent.name == old


def test_a_blob_of_the_shared_store_is_known_by_its_own_sha256(hub: Hub, home: Path):
    """As huggingface_hub lays out what came from Xet storage: a link to a link, whose name is another hash."""
    start(home, NAME, HF_ENDPOINT=hub.url)
    content = blob(home)
    shared = home / ".cache/huggingface/hub/blobs/ab" / ("ab" * 32)
    shared.parent.mkdir(parents=True)
    content.rename(shared)
    content.symlink_to(shared)
    result = start(home, NAME, HF_HUB_OFFLINE=1)

    assert result["value"] == 1
    assert result["sha256"] == SHA256


def test_a_cache_without_links_promises_nothing(hub: Hub, home: Path):
    settings = {"HF_ENDPOINT": hub.url, "HF_HUB_DISABLE_SYMLINKS": "1"}
    assert start(home, NAME, **settings)["sha256"] is None
    assert start(home, NAME, **settings)["value"] == 1


def test_cache_dir(hub: Hub, home: Path):
    assert start(home, NAME, HF_ENDPOINT=hub.url, CACHE_DIR="~/models")["value"] == 1
    assert (home / "models").is_dir()
    assert list(home.glob(".cache/huggingface/hub/*")) == []
    assert start(home, NAME, HF_HUB_OFFLINE=1, CACHE_DIR="~/models")["value"] == 1


def test_a_full_disk(hub: Hub, home: Path):
    limited = start(home, NAME, HF_ENDPOINT=hub.url, TEST_FILE_SIZE_LIMIT=20_000)

    assert limited["error"] == "HubUnreachable"
    assert limited["message"].startswith(f"cannot keep {REPO} in the cache {home}/")
    assert "(File too large): " in limited["message"]
    assert "set CACHE_DIR to another folder" in limited["message"]
    assert start(home, NAME, HF_ENDPOINT=hub.url)["value"] == 1


@pytest.fixture
def anyones() -> Iterator[Path]:
    """A folder that other users can reach, unlike pytest's own."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    for path in (folder, *folder.rglob("*")):
        if path.is_dir():
            path.chmod(0o755)
    shutil.rmtree(folder)


def make_read_only(folder: Path) -> None:
    for path in (*folder.rglob("*"), folder):
        if not path.is_symlink():
            path.chmod(0o555 if path.is_dir() else 0o444)


def test_a_read_only_cache(hub: Hub, home: Path, anyones: Path):
    start(home, NAME, HF_ENDPOINT=hub.url, CACHE_DIR=anyones)
    make_read_only(anyones)
    user = {"TEST_UID": "65534"} if os.geteuid() == 0 else {}
    hub.repos["org/other"] = hub.repos[REPO]
    filled = start(anyones, NAME, HF_ENDPOINT=hub.url, CACHE_DIR=anyones, **user)
    missing = start(anyones, "hf-hub:org/other", HF_ENDPOINT=hub.url, CACHE_DIR=anyones, **user)

    assert filled["value"] == 1
    assert missing["error"] == "HubUnreachable"
    assert f"cannot keep org/other in the cache {anyones} (Permission denied)" in missing["message"]


def test_a_cache_that_may_not_be_read(hub: Hub, home: Path, anyones: Path):
    start(home, NAME, HF_ENDPOINT=hub.url, CACHE_DIR=anyones)
    (anyones / "models--org--small" / "snapshots").chmod(0)
    user = {"TEST_UID": "65534"} if os.geteuid() == 0 else {}
    result = start(anyones, NAME, HF_ENDPOINT=hub.url, CACHE_DIR=anyones, **user)

    assert result["error"] == "HubUnreachable"
    assert f"cannot keep org/small in the cache {anyones} (Permission denied)" in result["message"]


@as_root
def test_a_user_without_a_home(hub: Hub, anyones: Path):
    """As in a container that runs under a number of its own; HOME is not set."""
    nobody = {"HF_ENDPOINT": hub.url, "TEST_UID_FROM_THE_START": 54_321}
    anyones.chmod(0o777)
    result = Start(None, NAME, **nobody).result()
    if re.search("(ModuleNotFound|Import)Error", result.get("crash", "")):
        pytest.skip("another user may not read this checkout or its Python")

    assert result["error"] == "InvalidSetting"
    assert "there is no home directory to keep a cache in: set CACHE_DIR or HF_HOME" in result["message"]
    assert start(None, NAME, CACHE_DIR=anyones, **nobody)["value"] == 1


@pytest.mark.parametrize(("starts", "settings"), [(2, {}), (8, {}), (4, {"TEST_NO_FLOCK": "1"})])
def test_starts_at_once_against_an_empty_cache(hub: Hub, home: Path, starts: int, settings: dict[str, str]):
    hub.fault = Slow(0.1)  # 17 blocks: long enough for all to come while the first still downloads
    begun = [Start(home, NAME, HF_ENDPOINT=hub.url, **settings) for _ in range(starts)]
    results = [start.result() for start in begun]

    assert [result.get("value") for result in results] == [1] * starts
    assert hashlib.sha256(blob(home).read_bytes()).hexdigest() == SHA256
    assert (len(hub.downloads(WEIGHTS)) == 1) is (not settings)


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
