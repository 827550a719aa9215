"""WORKERS=1 against 2 and more, of so many threads each: answers a second, and core-milliseconds for one.

python workers.py [--workers 1,2,4] [--threads 1] [--seconds 4] [--rounds 3]        needs wrk

The servers run side by side and idle while one is measured, as in run.py.
"""

from __future__ import annotations

import argparse
from statistics import median

from loads import LOADS, write_bodies
from measuring import CACHE, measure, warm_up
from random_checkpoint import write_random_checkpoint
from systems import System, ours, start

LOADS_HERE = [load for load in LOADS if load.name in ("short texts", "images 451 x 300")]


def system(workers: int, threads: int) -> System:
    return ours(f"{workers} x {threads}", "auto", WORKERS=str(workers), THREADS=str(threads))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--workers", default="1,2", help="comma-separated")
    parser.add_argument("--threads", type=int, default=1, help="of each worker")
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    if not (CACHE / "ViT-B-32").exists():
        write_random_checkpoint(CACHE / "ViT-B-32")
    write_bodies(CACHE / "bodies", LOADS_HERE)
    running = []
    try:
        for workers in options.workers.split(","):
            running.append(start(system(int(workers), options.threads), CACHE))
            warm_up(running[-1], LOADS_HERE)
        print("| load | clients | " + " | ".join(f"{server.system.name}: /s (core-ms)" for server in running) + " |")
        print("|---|---|" + "---|" * len(running))
        for load in LOADS_HERE:
            for clients in load.clients:
                rounds = [
                    [measure(server, load, clients, options.seconds, number) for server in running]
                    for number in range(options.rounds)
                ]
                cells = [
                    f"{median(one['per_second'] for one in of_server):.0f} "
                    f"({median(one['core_ms'] for one in of_server):.1f})"
                    for of_server in zip(*rounds, strict=True)
                ]
                print(f"| {load.name} | {clients} | {' | '.join(cells)} |", flush=True)
        print("memory, MB: " + ", ".join(f"{server.system.name} {server.memory_mb('VmRSS'):.0f}" for server in running))
    finally:
        for server in running:
            server.stop()


if __name__ == "__main__":
    main()
