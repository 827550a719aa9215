"""Our server on a GPU: the engine alone, the embedder without HTTP, and the server, which of its time is whose.

python gpu.py [--device cuda] [--seconds 2] [--out FILE]: prints tables, and writes all figures as JSON. Needs wrk.
"""

from __future__ import annotations

import argparse
import base64
import gc
import json
import os
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch
from bare import rate
from captions import short_captions
from front_end import core_milliseconds
from loads import Load, bodies_file
from measuring import CACHE, measure
from photographs import photographs
from random_checkpoint import write_random_checkpoint
from systems import Running, System, ours, ours_on, start

import openclip_api
from openclip_api import Embedder

BATCHES = (1, 8, 32, 128, 512)
PROFILED = (8, 128)
CLIENTS = (1, 8, 32, 128)
JPEGS = "JPEGs of 451 x 300"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--seconds", type=int, default=2, help="how long each figure is measured")
    parser.add_argument("--out", type=Path, default=CACHE / "gpu.json")
    options = parser.parse_args()
    folder = CACHE / "ViT-B-32"
    if not folder.exists():
        write_random_checkpoint(folder)
    images, texts = list(photographs(256, 451, 300)), short_captions(40_000)
    figures: dict[str, list] = {}

    failed = False

    def table(title: str, rows: Iterator[dict]) -> None:
        """What fails costs this table alone."""
        nonlocal failed
        figures[title] = []
        try:
            for row in rows:
                if not figures[title]:
                    print(f"\n{title}\n\n| {' | '.join(row)} |\n{'|---' * len(row)}|")
                print(f"| {' | '.join(map(shown, row.values()))} |", flush=True)
                figures[title].append(row)
        except (Exception, SystemExit) as error:
            print(f"\n{title}: {type(error).__name__}: {error}")
            failed = True
        options.out.write_text(json.dumps(figures, indent=1))

    loads = write_loads(images, texts)
    table("The engine alone", engine_rates(folder, options.device, options.seconds / 5))
    table("The server", server_rates(ours_on(options.device), loads, CLIENTS, options.seconds))
    table("The embedder, without HTTP", embedder_rates(folder, options.device, options.seconds, images, texts))
    if options.device != "cpu":
        table("The server on this machine's CPU", server_rates(ours("ours", "auto"), loads, (1, 32), options.seconds))
    costs = core_milliseconds(str(folder))
    table("The server without its engine", ({"request": name, "core-ms": cost} for name, cost in costs))
    sys.exit(failed)


def shown(figure: object) -> str:
    if not isinstance(figure, float):
        return str(figure)
    return f"{figure:.3g}" if figure < 100 else f"{figure:.0f}"


def engine_rates(folder: Path, device: str, seconds: float) -> Iterator[dict]:
    """`card ms`: how long kernels and copies ran in a batch. What is missing to `ms` is Python, which starts them."""
    pixels = np.random.default_rng(0).integers(0, 256, (max(BATCHES), 224, 224, 3), np.uint8)
    for precision in ("auto", "bf16", "fp32"):
        embedder = loaded(folder, device, precision=precision)
        ids = np.stack([embedder._tokenizer(text).ids for text in short_captions(max(BATCHES))])
        encoders = (("images", embedder._engine.encode_images, pixels), ("texts", embedder._engine.encode_texts, ids))
        for kind, encode, inputs in encoders:
            for batch in BATCHES:
                spent = 1 / rate(encode, [inputs[:batch]], seconds)
                card = card_seconds(partial(encode, inputs[:batch])) if batch in PROFILED else None
                yield {
                    "precision": embedder.info.precision, "kind": kind, "batch": batch, "ms": 1e3 * spent,
                    "a second": batch / spent, "card ms": "" if card is None else 1e3 * card,
                }  # fmt: skip
        embedder.close()
        gc.collect()


def loaded(folder: Path, device: str, **options: object) -> Embedder:
    return openclip_api.load(f"local-dir:{folder}", device=device, **options)


def card_seconds(run: Callable[[], object]) -> float | None:
    """None where torch's profiler sees no card."""
    try:
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
            for _ in range(5):
                run()
        spent = sum(event.self_device_time_total for event in profile.key_averages()) / 5e6
    except (RuntimeError, AttributeError) as error:
        print(f"torch's profiler: {error}")
        return None
    return spent or None


def embedder_rates(folder: Path, device: str, seconds: float, images: list[bytes], texts: list[str]) -> Iterator[dict]:
    for max_batch in (64, 256):
        for processes in (0, (os.cpu_count() or 1) + 1):  # as the server's DECODE=thread and process
            embedder = loaded(folder, device, max_batch=max_batch, decode_processes=processes)
            runs = [(JPEGS, embedder.embed_images, images)]
            if not processes:
                runs.append(("short texts", embedder.embed_texts, texts[:8192]))
            for name, embed, items in runs:
                embed(items[:256])
                embedder.batches.clear()
                started, count = time.perf_counter(), 0
                while time.perf_counter() < started + seconds:
                    count += len(embed(items))
                spent = time.perf_counter() - started
                yield {
                    "items": name, "MAX_BATCH": max_batch, "decoders": processes or "threads",
                    "a second": count / spent, "items a batch": count / sum(embedder.batches.values()),
                }  # fmt: skip
            embedder.close()


def write_loads(images: list[bytes], texts: list[str]) -> list[Load]:
    """One item a request, and 32."""
    photos = [base64.b64encode(image).decode() for image in images]
    bodies = {
        JPEGS: [{"image": photo} for photo in photos],
        f"32 {JPEGS}": [{"image": photos[at : at + 32]} for at in range(0, len(photos), 32)],
        "short texts": [{"text": text} for text in texts],
        "32 short texts": [{"text": texts[at : at + 32]} for at in range(0, len(texts), 32)],
    }
    loads = [Load(name, (), tuple) for name in bodies]
    (CACHE / "bodies").mkdir(exist_ok=True)
    for load in loads:
        lines = "".join(json.dumps(body) + "\n" for body in bodies[load.name])
        bodies_file(CACHE / "bodies", load, "native").write_text(lines)
    return loads


def server_rates(system: System, loads: list[Load], clients: tuple[int, ...], seconds: float) -> Iterator[dict]:
    """`decode`, `queue` and `compute`: what a request waits for; the rest of its time is HTTP, JSON and base64.

    `busy`: the part of the time in which the engine computes.
    """
    server = start(system, CACHE)
    print(f"\n{system.name}: ready after {server.seconds_to_ready:.1f} s")
    try:
        for load in loads:
            measure(server, load, 32, 1, 0)
            for count in clients:
                if not load.name.startswith("32 ") or count in (1, 8):
                    yield server_rate(server, load, count, seconds)
    finally:
        server.stop()


def server_rate(server: Running, load: Load, clients: int, seconds: float) -> dict:
    before = readings(server)
    result = measure(server, load, clients, seconds, clients)
    spent = {name: value - before.get(name, 0) for name, value in readings(server).items()}
    requests = max(1, spent["openclip_stage_seconds_count"])
    batch = max(1.0, spent["openclip_items_total"]) / max(1.0, spent["openclip_batch_items_count"])
    means = {stage: 1e3 * spent[f"{stage} seconds"] / requests for stage in ("decode", "queue", "compute")}
    items = 32 if load.name.startswith("32 ") else 1
    # each pass takes what its requests wait for it; requests go on a little after `seconds`
    busy = means["compute"] * result["per_second"] * items / batch / 1e3
    return {
        "load": load.name, "clients": clients, "items a second": items * result["per_second"],
        "p50 ms": result["p50_ms"], "p99 ms": result["p99_ms"], "core-ms a request": result["core_ms"],
        "items a batch": batch,
        **{f"{stage} ms": mean for stage, mean in means.items()}, "busy": busy,
    }  # fmt: skip


def readings(server: Running) -> dict[str, float]:
    """The server's counters, summed over their labels but for the stage."""
    sums: dict[str, float] = {}
    with urllib.request.urlopen(f"{server.url}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    for line in lines:
        if line.startswith("openclip_"):
            labelled, _, value = line.rpartition(" ")
            name, _, labels = labelled.partition("{")
            if name == "openclip_stage_seconds_sum":
                name = labels.split('"')[1] + " seconds"
            elif name == "openclip_stage_seconds_count" and "compute" not in labels:
                continue
            sums[name] = sums.get(name, 0) + float(value)
    return sums


if __name__ == "__main__":
    main()
