"""A bulk job, killed again and again. Each failing write, a full disk and odd files are in tests/bulk."""

from __future__ import annotations

from pathlib import Path

import pytest

from openclip_api.runtime.embedder import Embedder

from ..bulk.conftest import Embed, embedder, run  # noqa: F401
from ..support.embed_process import kill_until_done
from ..support.index_process import kill_and_change
from .conftest import Report

pytestmark = pytest.mark.chaos


@pytest.mark.parametrize(("format", "kills"), [("parquet", 200), ("lance", 50)])
def test_kills_lose_and_double_no_row(
    tmp_path: Path,
    run: Embed,  # noqa: F811
    report: Report,
    monkeypatch: pytest.MonkeyPatch,
    format: str,
    kills: int,
):
    monkeypatch.setenv("TMPDIR", str(tmp_path))  # a kill may leave a part of a Lance shard there
    folders, within = kill_until_done(tmp_path, run, images=400, kills=kills, seed=2, format=format)
    report(
        f"{kills} SIGKILLs of `openclip-api embed --format {format}`, 402 items in shards of 10",
        "folders finished, each equal to the unbroken run; kills that left a part behind",
        f"{folders}; {within}",
    )
    assert within > kills / 4


def test_a_store_equals_its_folder_after_kills_while_it_changes(tmp_path: Path, embedder: Embedder, report: Report):  # noqa: F811
    finished, parts = kill_and_change(tmp_path, embedder, kills=60, changes=40, seed=4)
    report(
        "60 SIGKILLs of `openclip-api index`, the folder changed before each run",
        "runs that ended, the store equal to the folder row by row after each; kills that left a part of a store",
        f"{finished}; {parts}",
    )
    assert parts > 15
