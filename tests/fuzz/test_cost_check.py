"""What the cost check must be able to see, planted: without these it might be green whatever the server does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ..support.cost import Request, Target
from ..support.hostile import KINDS
from ..support.hostile.request import post_json
from ..support.hostile.target import BOUND, MEGAPIXELS
from ..support.server_process import FakeServer

pytestmark = [
    pytest.mark.cost,
    pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="measures on Linux only"),
]


def a_text(size: int) -> Request:
    return post_json("/embeddings", {"text": "a" * size})


def complaints(fault: str, size: int) -> str:
    with Target(lambda: FakeServer(FAKE_FAULT=fault), BOUND, pauses=(0, 0.5)) as target:
        return "; ".join(target.verdict(a_text, size)[1])


def test_a_good_server_passes():
    assert complaints("", 99_000) == ""


@pytest.mark.parametrize(
    ("fault", "size", "told"),
    [
        ("slow", 40_000, "s of CPU for 0.04 MB, more than"),
        ("slow", 10_000, "s of CPU for 10"),  # 0.3 s are within the bound, but twice the size takes 1.2
        ("block", 10_000, "/health took"),
        ("hoard", 99_000, "MB of memory"),
        ("fail", 10, "status 500"),
    ],
)
def test_a_planted_fault_is_seen(fault: str, size: int, told: str):
    assert told in complaints(fault, size)


def test_a_request_may_take_what_a_plain_one_takes_here_and_no_more():
    with Target(lambda: FakeServer(FAKE_FAULT="slow"), BOUND, pauses=(0, 0.5)) as target:
        assert "s of CPU" in target.judge(a_text(40_000))[1][0]
        assert "s of CPU" in target.judge(replace(a_text(40_000), plain=a_text(10_000)))[1][0]
        assert target.judge(replace(a_text(40_000), plain=a_text(40_000)))[1] == []


@pytest.mark.parametrize(
    ("fault", "kind", "name"),
    [
        ("normalise", "texts", "/embeddings: combining marks in falling class"),
        ("uncounted", "images", "/embeddings, raw: PNG of many iCCP"),
    ],
)
def test_the_catalogue_finds_what_was_slow_before_there_were_bounds(fault: str, kind: str, name: str):
    case = next(case for case in KINDS[kind] if case.name == name)
    settings = {"FAKE_FAULT": fault, "DECODE": "thread", "MAX_IMAGE_MEGAPIXELS": MEGAPIXELS}
    with Target(lambda: FakeServer(**settings), BOUND, pauses=(0, 0.5)) as target:
        assert "s of CPU" in "; ".join(target.verdict(case.make, 1_000_000)[1])
    with Target(lambda: FakeServer(**settings | {"FAKE_FAULT": ""}), BOUND) as target:
        assert target.verdict(case.make, 1_000_000)[1] == []
