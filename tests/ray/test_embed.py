"""`openclip-api embed --ray` on several nodes, some of which are killed: the rows are those of one machine's run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from PIL import Image

from openclip_api.bulk.cluster import actors_on
from openclip_api.settings import read_settings

from ..support.embed_process import finish, same_rows, start, write_collection
from .conftest import Nodes

pytestmark = pytest.mark.process

OPTIONS = ("--shard-rows", 40, "--threads", 1, "--progress", "json")


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images that differ, so that each is computed; damaged ones, a FIFO and an odd name among them; and texts."""
    folder = write_collection(tmp_path_factory.mktemp("source") / "images", 100)
    draw = np.random.default_rng(0)
    for number in range(3000):
        Image.fromarray(draw.integers(0, 255, (48, 48, 3), np.uint8)).save(folder / f"n{number:05d}.png")
    return folder


@pytest.fixture(scope="session")
def whole(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("whole") / "out"
    code, stderr = finish(start(source, "--out", out, *OPTIONS))
    assert code == 3, stderr
    return out


def shards_in(out: Path) -> int:
    manifest = out / "manifest.jsonl"
    return manifest.read_bytes().count(b"\n") - 1 if manifest.exists() else 0


def wait_for_shards(out: Path, count: int, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while shards_in(out) < count:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)


def warnings_in(stderr: str) -> list[str]:
    return [event["message"] for event in map(json.loads, stderr.splitlines()) if event["event"] == "warning"]


def test_a_killed_node_s_rows_are_redone_and_a_new_node_helps(tmp_path: Path, source: Path, whole: Path, nodes: Nodes):
    first, _ = nodes.add(), nodes.add()
    process = start(source, "--out", tmp_path / "out", *OPTIONS, "--ray", nodes.address)
    wait_for_shards(tmp_path / "out", 6, process)
    assert nodes.kill(first) == 1
    recorded = shards_in(tmp_path / "out")
    third = nodes.add()
    code, stderr = finish(process)
    assert code == 3, stderr
    assert recorded < shards_in(whole) - 4, "the node was killed in mid-job"
    (warning,) = warnings_in(stderr)
    assert "a worker is gone; others take its shards [" in warning
    same_rows(tmp_path / "out", whole)
    lines = [json.loads(line)["shard"] for line in (tmp_path / "out" / "manifest.jsonl").read_text().splitlines()[1:]]
    assert sorted(lines) == list(range(len(lines))), "each shard is recorded once"
    assert nodes.kill(third) == 0, "the job has left no worker behind"


def test_a_killed_worker_s_rows_are_redone_where_it_was(tmp_path: Path, source: Path, whole: Path, nodes: Nodes):
    node = nodes.add()
    process = start(source, "--out", tmp_path / "out", *OPTIONS, "--ray", nodes.address)
    for count in (3, 20):
        wait_for_shards(tmp_path / "out", count, process)
        (worker,) = nodes.workers(node)
        os.kill(worker, signal.SIGKILL)
    code, stderr = finish(process)
    assert code == 3, stderr
    assert len(warnings_in(stderr)) == 2
    same_rows(tmp_path / "out", whole)


def test_begun_on_ray_killed_and_gone_on_with_here_and_the_other_way_round(
    tmp_path: Path, source: Path, whole: Path, nodes: Nodes
):
    nodes.add()
    for name, ways in {"a": [("--ray", nodes.address), ()], "b": [(), ("--ray", nodes.address)]}.items():
        out = tmp_path / name
        process = start(source, "--out", out, *OPTIONS, *ways[0])
        wait_for_shards(out, 5, process)
        process.kill()
        code, _ = finish(process)
        assert code == -signal.SIGKILL
        before = {path.name: path.stat().st_ino for path in (out / "vectors").glob("*.parquet")}
        code, stderr = finish(start(source, "--out", out, *OPTIONS, *ways[1]))
        assert code == 3, stderr
        same_rows(out, whole)
        after = {path.name: path.stat().st_ino for path in (out / "vectors").glob("*.parquet")}
        assert sum(after[name] == inode for name, inode in before.items()) >= 5, "what was done is not done again"
        wait_for_workers_to_end(nodes)


def wait_for_workers_to_end(nodes: Nodes) -> None:
    deadline = time.monotonic() + 60
    while nodes.workers():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_tables_texts_and_tars(tmp_path: Path, nodes: Nodes):
    nodes.add()
    (tmp_path / "t.csv").write_text("sku,title,price\n" + "".join(f"{n},thing number {n},{n}.50\n" for n in range(99)))
    options = ["--text-column", "title", "--id-column", "sku", "--keep", "price", "--shard-rows", 10, "--threads", 1]
    for name, way in {"ray": ("--ray", nodes.address), "here": ()}.items():
        code, stderr = finish(start(tmp_path / "t.csv", *options, "--out", tmp_path / name, *way))
        assert code == 0, stderr
    same_rows(tmp_path / "ray", tmp_path / "here")
    assert pl.read_parquet(tmp_path / "ray" / "vectors" / "00001.parquet")["price"].to_list()[0] == "10.50"


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["--model-name", "local-dir:/nowhere"], "MODEL_NAME='local-dir:/nowhere': no such file or folder"),
        (["--threads", 64], "THREADS=64: the largest node has 1 processors"),
    ],
)
def test_what_a_node_cannot_do_is_one_line(tmp_path: Path, nodes: Nodes, options: list[Any], line: str):
    nodes.add()
    (tmp_path / "t.txt").write_text("a\n")
    code, stderr = finish(start(tmp_path / "t.txt", "--out", tmp_path / "out", "--ray", nodes.address, *options))
    assert code == 1
    assert stderr.startswith("openclip-api: "), stderr
    assert stderr.count("\n") == 1, stderr
    assert line in stderr
    assert not (tmp_path / "out").exists()


def test_without_a_cluster_it_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    (tmp_path / "t.txt").write_text("a\n")
    code, stderr = finish(start(tmp_path / "t.txt", "--out", tmp_path / "out", "--ray", "127.0.0.1:1"))
    assert (code, stderr) == (1, "openclip-api: --ray 127.0.0.1:1: Connection refused\n")
    code, stderr = finish(start("--out", tmp_path / "out", "--ray", tmp_path / "t.txt"))
    assert code == 2
    assert "t.txt' is not HOST:PORT; write the SOURCE before --ray" in stderr


@pytest.mark.parametrize(
    ("resources", "settings", "expected"),
    [
        ({"CPU": 16.0}, {}, (1, 16)),
        ({"CPU": 16.0}, {"threads": 4}, (4, 4)),
        ({"CPU": 6.0}, {"threads": 4}, (1, 4)),
        ({"CPU": 2.0}, {"threads": 4}, (0, 4)),
        ({"memory": 1e9}, {}, (0, 0)),
        ({"CPU": 16.0, "GPU": 2.0}, {"device": "cuda"}, (2, 8)),
        ({"CPU": 16.0}, {"device": "cuda"}, (0, 0)),
    ],
)
def test_actors_on_a_node(resources: dict[str, float], settings: dict[str, Any], expected: tuple[int, int]):
    assert actors_on(resources, read_settings(**settings)) == expected
