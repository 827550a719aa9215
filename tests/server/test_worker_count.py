"""How many workers there are, and which cores each gets, on machines that are written down in files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from openclip_api.engines.cores import available_cores
from openclip_api.engines.memory import free_memory
from openclip_api.errors import InvalidSetting
from openclip_api.server.core_shares import Core, divided, physical_cores, shares
from openclip_api.server.worker_count import most_workers, worker_count
from openclip_api.settings import read_settings


def cores(*counts: int) -> list[Core]:
    """So many on each node, of one CPU each."""
    nodes = [node for node, count in enumerate(counts) for _ in range(count)]
    return [Core(node, (number,)) for number, node in enumerate(nodes)]


@pytest.mark.parametrize(
    ("machine", "workers", "threads", "cpus"),
    [
        (cores(2), 2, 1, ["0", "1"]),
        (cores(5), 2, 2, ["014", "23"]),
        (cores(3, 3), 2, 3, ["012", "345"]),
        (cores(3, 3), 3, 2, ["01", "34", "25"]),  # the third does not fit into a node
        (cores(4, 2), 3, 2, ["01", "23", "45"]),
        (cores(3, 3), 4, 1, ["0", "1", "2", "345"]),
        (cores(1, 1, 1), 1, 3, ["012"]),
        ([Core(0, (0, 4)), Core(0, (1, 5))], 2, 1, ["04", "15"]),
    ],
)
def test_cores_are_shared_side_by_side_and_inside_nodes(
    machine: list[Core], workers: int, threads: int, cpus: list[str]
):
    found = divided(machine, workers)
    assert ["".join(map(str, share.cpus)) for share in found] == cpus
    assert {share.threads for share in found} == {threads}


@pytest.mark.parametrize("workers", [1, 2, 3, 5, 7, 8, 16])
@pytest.mark.parametrize("nodes", [(16,), (8, 8), (7, 9), (4, 4, 4, 4), (1, 15)])
def test_no_two_workers_share_a_core(nodes: tuple[int, ...], workers: int):
    found = divided(cores(*nodes), workers)
    assert len(found) == workers
    cpus = [cpu for share in found for cpu in share.cpus]
    assert len(cpus) == len(set(cpus))
    assert all(len(share.cpus) >= share.threads == 16 // workers for share in found)


def machine(root: Path, monkeypatch: pytest.MonkeyPatch, cpus: int, quota: str = "max") -> Path:
    """Two nodes of cores with two hyperthreads each: CPU n and n + cpus / 2 are siblings."""
    half = cpus // 2
    for cpu in range(cpus):
        topology = root / f"sys/devices/system/cpu/cpu{cpu}/topology"
        topology.mkdir(parents=True)
        (topology / "thread_siblings_list").write_text(f"{cpu % half},{cpu % half + half}\n")
    for node in range(2):
        folder = root / f"sys/devices/system/node/node{node}"
        folder.mkdir(parents=True)
        first = node * half // 2
        last = first + half // 2 - 1
        (folder / "cpulist").write_text(f"{first}-{last},{first + half}-{last + half}\n")
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text("0::/\n")
    (root / "proc/meminfo").write_text("MemTotal: 9 kB\nMemAvailable:    4000000 kB\n")
    (root / "sys/fs/cgroup").mkdir(parents=True)
    (root / "sys/fs/cgroup/cpu.max").write_text(f"{quota} 100000\n")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cpus)), raising=False)
    return root


def test_hyperthreads_of_a_core_stay_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    root = machine(tmp_path, monkeypatch, 16)
    assert physical_cores(root)[3:5] == [Core(0, (3, 11)), Core(1, (4, 12))]
    assert [share.cpus for share in shares(2, root)] == [(0, 1, 2, 3, 8, 9, 10, 11), (4, 5, 6, 7, 12, 13, 14, 15)]
    assert {share.threads for share in shares(2, root)} == {4}


def test_under_a_quota_nobody_is_pinned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Two containers on a node, with a quota of 4 cores each, would pin their threads to the same ones."""
    root = machine(tmp_path, monkeypatch, 16, quota="400000")
    assert shares(2, root) == [(2, ())] * 2
    assert shares(8, root) == [(1, ())] * 8


def test_more_workers_than_cores_are_not_pinned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    assert shares(9, machine(tmp_path, monkeypatch, 16)) == [(1, ())] * 9


@pytest.mark.parametrize(
    ("cores", "free", "needed", "workers"),
    [
        (2, None, 1e9, 1),
        (15, None, 1e9, 1),
        (16, None, 1e9, 2),
        (64, 100e9, 1e9, 8),
        (64, 3.5e9, 1e9, 3),
        (64, 0.5e9, 1e9, 1),
    ],
)
def test_auto_is_one_for_eight_cores_if_so_many_fit_into_memory(
    cores: int, free: float | None, needed: float, workers: int
):
    assert most_workers(cores, free, needed) == workers


def test_free_memory_is_what_the_machine_has_or_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    root = machine(tmp_path, monkeypatch, 4)
    assert free_memory(root) == 4_096_000_000
    (root / "sys/fs/cgroup/memory.max").write_text("1000000000\n")
    assert free_memory(root) == 1e9


def test_a_device_of_its_own_takes_one_process():
    assert worker_count(read_settings(workers="auto", device="cuda")) == 1
    with pytest.raises(
        InvalidSetting, match=r"^WORKERS=2 with DEVICE=cuda: one process keeps it busy, so set WORKERS=1$"
    ):
        worker_count(read_settings(workers="2", device="cuda"))


@pytest.mark.process
def test_auto_asks_how_large_the_model_is(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)), raising=False)
    if available_cores() < 64:
        pytest.skip("a quota allows fewer cores")
    assert 1 < worker_count(read_settings(workers="auto", model_name="emoji")) <= 8
