"""find() against a hub or a cache with a fault, and the next start."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from ..support.forked_start import start
from ..support.hub_server import Altered, Cut, Fault, Hang, Hub, Portal, Slow, Status, WrongSize
from .conftest import NAME, REPO, SHA256, WEIGHTS, blob, small_repository, weights, with_tokenizer

pytestmark = pytest.mark.process

Spoil = Callable[[bytes], bytes]


def web_page(_: bytes) -> bytes:
    return b"<!doctype html><title>Log in</title>"


def flip(content: bytes) -> bytes:
    return content[:-1] + bytes([content[-1] ^ 1])


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
    (Portal(file=""), "HubUnreachable", "not from a hub: check HF_ENDPOINT"),
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
    assert "downloading it again failed: cannot fetch" in offline["message"]
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
