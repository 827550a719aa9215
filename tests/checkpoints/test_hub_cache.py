"""Where downloads are kept: other folders, other users, a full disk, many starts at once."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..support.forked_start import Start, start
from ..support.hub_server import Hub, Slow
from .conftest import NAME, REPO, SHA256, WEIGHTS, blob

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


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
