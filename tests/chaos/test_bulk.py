"""A bulk job, killed again and again. Each failing write, a full disk and odd files are in tests/bulk."""

from __future__ import annotations

from pathlib import Path

import pytest

from ..bulk.conftest import Embed, embedder, run  # noqa: F401
from ..bulk.process import kill_until_done
from .conftest import Report

pytestmark = pytest.mark.chaos


def test_f3_two_hundred_kills_lose_and_double_no_row(tmp_path: Path, run: Embed, report: Report):  # noqa: F811
    folders, within = kill_until_done(tmp_path, run, images=400, kills=200, seed=2)
    report(
        "F3 200 SIGKILLs of `openclip-api embed`, 402 items in shards of 10",
        "folders finished, each equal to the unbroken run; kills that left a part behind",
        f"{folders}; {within}",
    )
    assert within > 50
