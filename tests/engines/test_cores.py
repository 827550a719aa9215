"""Cores are what affinity and quota allow."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from openclip_api.engines.cores import available_cores

MACHINE = 64


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(MACHINE)), raising=False)


def write(root: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return root


@pytest.mark.parametrize(
    ("quota", "cores"),
    [("200000 100000", 2), ("150000 100000", 2), ("5000 100000", 1), ("max 100000", MACHINE), ("9900000 100000", 64),
     ("nonsense", MACHINE), ("", MACHINE), ("-1 100000", MACHINE), ("0 0", MACHINE)],
)  # fmt: skip
def test_a_quota_of_version_2(tmp_path: Path, quota: str, cores: int) -> None:
    root = write(tmp_path, {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": f"{quota}\n"})
    assert available_cores(root) == cores


def test_the_least_quota_of_all_groups_above_holds(tmp_path: Path) -> None:
    top = "sys/fs/cgroup"
    quotas = {f"{top}/kubepods/cpu.max": "800000 100000", f"{top}/kubepods/pod1/cpu.max": "300000 100000"}
    root = write(tmp_path, {"proc/self/cgroup": "0::/kubepods/pod1/c2\n", **quotas})
    write(root, {f"{top}/kubepods/pod1/c2/cpu.max": "max 100000"})
    assert available_cores(root) == 3


@pytest.mark.parametrize(("quota", "cores"), [("400000", 4), ("-1", MACHINE)])
@pytest.mark.parametrize("path", ["/", "/docker/0123456789ab"])
def test_a_quota_of_version_1(tmp_path: Path, path: str, quota: str, cores: int) -> None:
    """Docker shows the path that the group has outside of the container."""
    groups = f"12:memory:{path}\n4:cpu,cpuacct:{path}\n3:cpuset:{path}\n"
    files = {"cpu.cfs_quota_us": quota, "cpu.cfs_period_us": "100000"}
    root = write(tmp_path, {"proc/self/cgroup": groups})
    write(root, {f"sys/fs/cgroup/cpu/{name}": f"{content}\n" for name, content in files.items()})
    assert available_cores(root) == cores


def test_affinity_and_machines_without_any_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert available_cores(tmp_path) == MACHINE
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {5, 9}, raising=False)
    assert available_cores(tmp_path) == 2
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert available_cores(tmp_path) == 1
