"""`openclip-api index` as a process of its own, and a folder that changes between its runs."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from openclip_api.bulk.items import is_image_name
from openclip_api.errors import RequestError
from openclip_api.runtime.embedder import Embedder
from openclip_api.search.store import Store

from ..bulk.conftest import GOLDEN
from .kill import kill_after_writes
from .server_process import OURS

MOST_FILES = 8  # before a kill; a commit of the table has three or four
CONTENTS = [path.read_bytes() for path in sorted(GOLDEN.iterdir())]


def start(*arguments: object, command: str = "index", **environment: object) -> subprocess.Popen[str]:
    """On the built-in model. environment: more of it, such as XDG_DATA_HOME."""
    inherited = {key: value for key, value in os.environ.items() if not OURS.match(key)}
    ours = {"MODEL_NAME": "emoji", "PRECISION": "fp32", "PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "openclip_api", command, *map(str, arguments)],
        env={**inherited, **ours, **{key: str(value) for key, value in environment.items()}},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str], timeout: float = 120) -> tuple[int, str, str]:
    with process:
        stdout, stderr = process.communicate(timeout=timeout)
    return process.returncode, stdout, stderr


def change(folder: Path, draw: random.Random, changes: int) -> None:
    """Files come, go, change, move and swap their names."""
    for _ in range(changes):
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        kind = draw.choice(["new", "new", "new", "gone", "changed", "moved", "swapped", "copied", "broken"])
        target = folder / f"{draw.randrange(3)}" / f"{draw.randrange(10**6):06d}.jpg"
        target.parent.mkdir(parents=True, exist_ok=True)
        if kind == "new" or len(files) < 2:
            target.write_bytes(_content(draw))
            continue
        one, other = draw.sample(files, 2)
        if kind == "gone":
            one.unlink()
        elif kind == "changed":
            one.write_bytes(_content(draw))
        elif kind == "moved":
            one.rename(target)
        elif kind == "swapped":
            one.rename(folder / "x")
            other.rename(one)
            (folder / "x").rename(other)
        elif kind == "copied":
            target.write_bytes(one.read_bytes())
        else:
            one.write_bytes(_content(draw)[:100])


def _content(draw: random.Random) -> bytes:
    """An image of a few, with some bytes behind its end: so contents differ, and one may be embedded fast."""
    return draw.choice(CONTENTS) + draw.randbytes(8)


def equals(store: Path, folders: Sequence[Path], embedder: Embedder) -> None:
    """Row by row what is in the folders: none lost, none left, none twice, each with the vector of its content."""
    table = Store(store).columns(["root", "path", "digest", "error", "vector", "bytes"]).to_pylist()
    found = {str(Path(row["root"], row["path"])): row for row in table}
    assert len(found) == len(table)
    files = {
        str(path): path.read_bytes() for folder in folders for path in folder.rglob("*") if is_image_name(path.name)
    }
    assert sorted(found) == sorted(files)
    expected: dict[bytes, np.ndarray | None] = {}
    for name, content in files.items():
        row = found[name]
        if content not in expected:
            expected[content] = _vector(content, embedder)
        if expected[content] is None:
            assert row["error"] is not None, (name, len(content))
            assert row["vector"] is None
            continue
        assert row["error"] is None, name
        assert row["digest"] == hashlib.blake2b(content, digest_size=16).hexdigest()
        assert row["bytes"] == len(content)
        np.testing.assert_allclose(row["vector"], expected[content], atol=1e-5)


def _vector(content: bytes, embedder: Embedder) -> np.ndarray | None:
    try:
        return embedder.embed_images([content], normalize=True)[0]
    except RequestError:
        return None


def kill_and_change(tmp_path: Path, embedder: Embedder, kills: int, changes: int, seed: int) -> tuple[int, int]:
    """SIGKILL so many times, each after some more files of the store, and change the folder between.

    How often a run came to its end, and how many of the kills left a store with a part of what was to be done.
    """
    warnings.filterwarnings("ignore", module="PIL")  # as the command does; here they would be errors
    draw = random.Random(seed)
    folder, store = tmp_path / "photos", tmp_path / "s.lance"
    change(folder, draw, 4 * changes)
    killed = finished = parts = 0
    while killed < kills:
        change(folder, draw, changes)
        process = start(folder, "--store", store, "--progress", "quiet")
        kill_after_writes(process, lambda: sum(1 for _ in store.rglob("*")), draw, MOST_FILES)
        code, _, stderr = finish(process)
        assert code in (-signal.SIGKILL, 0, 3), stderr
        if code == -signal.SIGKILL:
            killed += 1
            parts += (store / "data").exists()
            if killed % 10 and killed < kills:
                continue
            code, _, stderr = finish(start(folder, "--store", store, "--progress", "quiet"))
            assert code in (0, 3), stderr
        finished += 1
        equals(store, [folder], embedder)
    return finished, parts
