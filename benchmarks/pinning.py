"""One process on all cores against a process for each core, by pinning: images a second of the bare engine.

python pinning.py FOLDER

What larger machines do can only be worked out from this: the more a pass loses by sharing its work among cores, the
sooner several processes do more (docs/tuning.md).
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
from collections.abc import Sequence
from multiprocessing.synchronize import Barrier
from statistics import median

import numpy as np

import openclip_api

ROUNDS, SECONDS = 5, 2.0
BATCHES = (1, 8)


def worker(folder: str, cores: Sequence[int], batch: int, barrier: Barrier, rates: multiprocessing.Queue) -> None:
    os.sched_setaffinity(0, cores)
    embedder = openclip_api.load(f"local-dir:{folder}", threads=len(cores))
    pixels = np.random.default_rng(0).integers(0, 256, (batch, 224, 224, 3), np.uint8)
    embedder._engine.encode_images(pixels)
    for _ in range(ROUNDS):
        barrier.wait()
        started, passes = time.perf_counter(), 0
        while time.perf_counter() < started + SECONDS:
            embedder._engine.encode_images(pixels)
            passes += 1
        rates.put(passes * batch / (time.perf_counter() - started))


def images_per_second(folder: str, groups: Sequence[Sequence[int]], batch: int) -> float:
    """Of as many processes as there are groups of cores, all at once; the median round."""
    spawn = multiprocessing.get_context("spawn")
    barrier, rates = spawn.Barrier(len(groups)), spawn.Queue()
    processes = [spawn.Process(target=worker, args=(folder, group, batch, barrier, rates)) for group in groups]
    for process in processes:
        process.start()
    rounds = [sum(rates.get(timeout=120) for _ in groups) for _ in range(ROUNDS)]
    for process in processes:
        process.join(30)
    return median(rounds)


if __name__ == "__main__":
    cores = sorted(os.sched_getaffinity(0))
    print("| images in a batch | one core | all cores, one process | a process for each core | one process / many |")
    print("|---|---|---|---|---|")
    for batch in BATCHES:
        one, shared, apart = (
            images_per_second(sys.argv[1], groups, batch)
            for groups in ([cores[:1]], [cores], [[core] for core in cores])
        )
        print(f"| {batch} | {one:.0f} | {shared:.0f} | {apart:.0f} | {shared / apart:.2f} |", flush=True)
