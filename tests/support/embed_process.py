"""`openclip-api embed` as a process of its own, on the built-in model."""

from __future__ import annotations

import os
import random
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from lance.file import LanceFileReader

from ..bulk.conftest import GOLDEN, Embed, rows_of, vectors_of
from .kill import kill_after_writes
from .server_process import OURS

SHARD = ("--shard-rows", 10)
MOST_SHARDS = 12  # before a kill


def start(*arguments: Any, largest_file: int | None = None) -> subprocess.Popen[str]:
    """largest_file: in bytes; what it writes beyond them fails as on a full disk."""
    environment = {key: value for key, value in os.environ.items() if not OURS.match(key)}
    process = subprocess.Popen(
        [sys.executable, "-m", "openclip_api", "embed", *map(str, arguments)],
        env={**environment, "MODEL_NAME": "emoji", "PRECISION": "fp32"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    if largest_file is not None:  # long before it writes anything; a preexec_fn would fork beside Lance's threads
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (largest_file, largest_file))
    return process


def finish(process: subprocess.Popen[str], timeout: float = 120) -> tuple[int, str]:
    """Exit code and stderr; stdout stays empty."""
    with process:
        stdout, stderr = process.communicate(timeout=timeout)
    assert stdout == ""
    return process.returncode, stderr


def write_collection(folder: Path, images: int) -> Path:
    """Small images, a damaged one among every ten, a FIFO and an odd name."""
    content = [path.read_bytes() for path in sorted(GOLDEN.iterdir())]
    folder.mkdir()
    for number in range(images):
        data = content[number % len(content)]
        (folder / f"{number:05d}.jpg").write_bytes(data[:150] if number % 10 == 7 else data)
    os.mkfifo(folder / "fifo.jpg")
    Path(os.fsdecode(bytes(folder) + b"/\xff\n.png")).write_bytes(content[0])
    return folder


def same_rows(out: Path, expected: Path) -> None:
    """Row for row the same: none lost, none twice, the same vectors; no half file about."""
    found, wanted = rows_of(out), rows_of(expected)
    assert found.drop("vector").equals(wanted.drop("vector"))
    assert found["vector"].is_null().equals(wanted["vector"].is_null())
    good = pl.col("error").is_null()
    np.testing.assert_allclose(vectors_of(found.filter(good)), vectors_of(wanted.filter(good)), atol=1e-5)
    assert pl.read_parquet(out / "failures.parquet").equals(pl.read_parquet(expected / "failures.parquet"))
    assert list(out.rglob("*.tmp")) == []


def readable_shards(out: Path) -> None:
    """Whatever has a shard's name can be read."""
    for shard in shards_of(out):
        if shard.suffix == ".lance":
            LanceFileReader(str(shard)).read_all().to_table()
        else:
            pl.read_parquet(shard)


def shards_of(out: Path) -> list[Path]:
    return [*(out / "vectors").glob("*.parquet"), *(out / "vectors.lance" / "data").glob("*.lance")]


def kill_until_done(
    tmp_path: Path, run: Embed, images: int, kills: int, seed: int, format: str = "parquet"
) -> tuple[int, int]:
    """SIGKILL so many times, each after some more shards; a finished folder is begun anew.

    How many folders that were, and how many of the kills left one with some of its shards.
    """
    draw = random.Random(seed)
    options = (*SHARD, "--format", format)
    source = write_collection(tmp_path / "images", images)
    code, stderr = finish(start(source, "--out", tmp_path / "whole", *options))
    assert code == 3, stderr
    killed = folders = within = 0
    while killed < kills:
        folders += 1
        out = tmp_path / f"out-{folders}"
        while killed < kills:
            process = start(source, "--out", out, *options)
            kill_after_writes(process, lambda out=out: len(shards_of(out)), draw, MOST_SHARDS)
            code, stderr = finish(process)
            assert code in (-signal.SIGKILL, 3), stderr
            killed += code == -signal.SIGKILL
            readable_shards(out)
            within += code != 3 and bool(shards_of(out))
            if code == 3:
                break
        assert run(source, "--out", out, *options) == 3
        same_rows(out, tmp_path / "whole")
    return folders, within
