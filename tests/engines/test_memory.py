"""How much memory the process may use, by Linux's files."""

from __future__ import annotations

import logging
import resource
from pathlib import Path

import pytest

from openclip_api.engines.memory import memory_limit, warn_of_small_memory

from .test_cores import write

MB = 10**6


@pytest.mark.parametrize(
    ("files", "limit"),
    [
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "700000000\n"}, 700 * MB),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "max\n"}, None),
        (
            {
                "proc/self/cgroup": "0::/pod/c\n",
                "sys/fs/cgroup/pod/memory.max": "500000000\n",
                "sys/fs/cgroup/pod/c/memory.max": "max\n",
            },
            500 * MB,
        ),
        (
            {"proc/self/cgroup": "4:memory:/a\n", "sys/fs/cgroup/memory/a/memory.limit_in_bytes": "600000000\n"},
            600 * MB,
        ),
        (
            {
                "proc/self/cgroup": "4:memory:/\n",
                "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
            },
            None,
        ),
        ({}, None),
    ],
    ids=["version 2", "version 2, none", "the pod's", "version 1", "version 1, none", "no Linux"],
)
def test_the_smallest_limit_counts(files: dict[str, str], limit: int | None, tmp_path: Path):
    assert resource.getrlimit(resource.RLIMIT_AS)[0] == resource.RLIM_INFINITY
    assert memory_limit(write(tmp_path, files)) == limit


def test_a_model_that_does_not_fit_is_one_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    root = write(tmp_path, {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": f"{700 * MB}\n"})
    with caplog.at_level(logging.WARNING, "openclip_api"):
        warn_of_small_memory(5 * MB, root)
        assert caplog.messages == []
        warn_of_small_memory(151 * MB, root)
    (line,) = caplog.messages
    assert "the memory limit is 700 MB" in line
    assert "1358 MB" in line
