"""The real commands: index killed, interrupted and watching, photos, and what --help begins with."""

from __future__ import annotations

import base64
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from openclip_api.runtime.embedder import Embedder
from openclip_api.search.store import Store

from ..support.index_process import change, equals, finish, kill_and_change, start
from ..support.server_process import ServerProcess
from .conftest import SAMPLES

pytestmark = pytest.mark.process

SECONDS_TO_BE_FOUND = 2.0  # as the docs say; machines that are busy get more
PATIENCE = 30.0


def wait_for(what: Callable[[], bool], process: subprocess.Popen[str] | None = None) -> float:
    begun = time.monotonic()
    while not what():
        assert time.monotonic() - begun < PATIENCE
        assert process is None or process.poll() is None
        time.sleep(0.05)
    return time.monotonic() - begun


@pytest.mark.slow
def test_killed_a_few_times_while_the_folder_changes(tmp_path: Path, embedder: Embedder):
    kill_and_change(tmp_path, embedder, kills=4, changes=10, seed=3)


def test_ctrl_c_says_that_it_goes_on(tmp_path: Path, embedder: Embedder):
    source = tmp_path / "t.txt"
    source.write_text("\n".join(f"text {n}" for n in range(50_000)))
    store = tmp_path / "s.lance"
    process = start(source, "--store", store, "--progress", "quiet")
    wait_for(lambda: any(store.glob("data/*")), process)
    process.send_signal(signal.SIGINT)
    code, _, stderr = finish(process, timeout=30)
    assert (code, stderr) == (130, "openclip-api: interrupted; run the same command again to continue\n")
    source.write_text("\n".join(f"text {n}" for n in range(100)))
    code, stdout, stderr = finish(start(source, "--store", store, "--progress", "quiet"))
    assert code == 0, stderr
    assert stdout.startswith("100 items: ")
    assert len(Store(store)) == 100


@pytest.mark.slow
def test_a_running_server_finds_a_new_photo_within_two_seconds(tmp_path: Path, embedder: Embedder):
    photos, store = tmp_path / "photos", tmp_path / "s.lance"
    shutil.copytree(SAMPLES, photos)
    watching = start(photos, "--watch", "--store", store, "--progress", "quiet")
    try:
        wait_for(lambda: store.exists() and bool(list(store.glob("_versions/*"))), watching)
        with ServerProcess(MODEL_NAME="emoji", PRECISION="fp32", STORE=store) as server:
            picture = base64.b64encode((SAMPLES / "pizza.png").read_bytes()).decode()

            def found() -> set[str]:
                answer = server.http.post("/search", json={"image": picture, "k": 10}).raise_for_status()
                return {row["id"] for row in answer.json()["results"] if row["score"] > 0.999}

            wait_for(lambda: found() == {"pizza.png"}, watching)
            shutil.copy(SAMPLES / "pizza.png", photos / "warm.png")  # the first one also waits for the second full look
            wait_for(lambda: "warm.png" in found(), watching)
            seconds = []
            for number in range(3):
                (photos / f"d{number}" / "deep").mkdir(parents=True)
                shutil.copy(SAMPLES / "pizza.png", photos / f"d{number}" / "deep" / "new.png")
                seconds.append(wait_for(lambda number=number: f"d{number}/deep/new.png" in found(), watching))
            assert min(seconds) < SECONDS_TO_BE_FOUND
            (photos / "warm.png").rename(photos / "moved.png")
            wait_for(lambda: "moved.png" in found() and "warm.png" not in found(), watching)
            shutil.rmtree(photos / "d0")
            wait_for(lambda: "d0/deep/new.png" not in found(), watching)
            (photos / "pizza.png").write_bytes((SAMPLES / "cat.png").read_bytes())
            wait_for(lambda: "pizza.png" not in found(), watching)
        wait_for(lambda: _is_equal(store, photos, embedder), watching)
    finally:
        watching.send_signal(signal.SIGINT)
        code, _, stderr = finish(watching, timeout=30)
    assert (code, stderr) == (130, "openclip-api: interrupted; run the same command again to continue\n")


def _is_equal(store: Path, folder: Path, embedder: Embedder) -> bool:
    try:
        equals(store, [folder], embedder)
    except AssertionError:
        return False
    return True


@pytest.mark.slow
def test_photos_is_one_command_from_a_folder_to_a_page(tmp_path: Path):
    folder = tmp_path / "my photos"
    shutil.copytree(SAMPLES, folder)
    opened = tmp_path / "opened"
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > {opened}\n')
    browser.chmod(0o755)
    process = start(folder, command="photos", XDG_DATA_HOME=tmp_path / "data", BROWSER=browser)
    try:
        wait_for(opened.exists, process)
        wait_for(lambda: opened.read_text().strip() != "")
        page = opened.read_text().strip()
        assert page.startswith("http://127.0.0.1:")
        assert page.endswith("/#search")
        url = page.removesuffix("/#search")
        assert "<title>" in httpx.get(url, headers={"Accept": "text/html"}).text

        def count(text: str) -> int:
            answer = httpx.post(f"{url}/search", json={"text": text, "k": 100}).raise_for_status()
            return len(answer.json()["results"])

        wait_for(lambda: count("a cat") == 36, process)
        shutil.copy(SAMPLES / "cat.png", folder / "cat 2.png")
        wait_for(lambda: count("a cat") == 37, process)
        (store,) = (tmp_path / "data" / "openclip-api" / "stores").glob("my_photos-*.lance")
        assert len(Store(store)) == 37
        assert sorted(path.name for path in tmp_path.iterdir() if path.suffix == ".lance") == []
    finally:
        process.send_signal(signal.SIGINT)
        code, stdout, stderr = finish(process, timeout=30)
    assert code == 0, stderr
    assert "36 images: 36 new" in stdout
    assert f"search at {page}" in stderr


def test_photos_says_what_is_wrong(tmp_path: Path):
    code, _, stderr = finish(start(tmp_path / "nope", command="photos", XDG_DATA_HOME=tmp_path))
    assert (code, stderr) == (1, f"openclip-api: {tmp_path}/nope: no such folder\n")
    (tmp_path / "empty").mkdir()
    code, _, stderr = finish(start(tmp_path / "empty", "--no-browser", command="photos", XDG_DATA_HOME=tmp_path))
    assert code == 1
    assert stderr.splitlines()[-1] == f"openclip-api: {tmp_path}/empty: nothing to embed in it"


@pytest.mark.parametrize("kilobytes", [1, 20])
def test_a_full_disk_is_one_line_and_the_same_command_goes_on(tmp_path: Path, embedder: Embedder, kilobytes: int):
    """A limit on the size of each file stands for the disk."""
    folder, store = tmp_path / "photos", tmp_path / "s.lance"
    change(folder, random.Random(1), 150)
    process = start(folder, "--store", store, "--progress", "quiet")
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (kilobytes * 1000, kilobytes * 1000))
    code, stdout, stderr = finish(process)
    assert (code, stdout, len(stderr.splitlines())) == (1, "", 1)
    assert stderr.startswith(f"openclip-api: {store}: ")
    assert "too large" in stderr
    if kilobytes > 1:
        assert finish(start("--roots", "--store", store))[0] == 0
    code, _, stderr = finish(start(folder, "--store", store, "--progress", "quiet"))
    assert code == 3, stderr
    equals(store, [folder], embedder)


def test_two_runs_at_once_end_well(tmp_path: Path, embedder: Embedder):
    store = tmp_path / "s.lance"
    both = [start(SAMPLES, "--store", store, "--progress", "quiet") for _ in range(2)]
    ended = [finish(process) for process in both]
    assert [code for code, _, _ in ended] == [0, 0]
    assert sorted(stdout.split(",")[0] for _, stdout, _ in ended) == ["36 images: 36 new", "36 images: 36 unchanged"]
    assert len(Store(store)) == 36


@pytest.mark.parametrize("command", ["index", "embed", "search", "photos"])
def test_help_begins_with_the_command_s_own_flags(command: str):
    environment = {**os.environ, "COLUMNS": "100"}

    def shown(flag: str) -> str:
        arguments = [sys.executable, "-m", "openclip_api", command, flag]
        return subprocess.run(arguments, capture_output=True, text=True, env=environment, check=True).stdout

    brief, whole = shown("--help"), shown("--help-all")
    assert f"Example: openclip-api {command}" in brief
    assert "--cors-origins" not in brief
    assert "--cors-origins" in whole
    assert brief.count("environment:") <= 5
    assert brief.index("--help-all") < brief.index("--model-name")
