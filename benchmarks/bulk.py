"""openclip-api embed and index: memory over the number of items, throughput, a store's second look. → BULK.md

python benchmarks/bulk.py texts|images|throughput|index [COUNT], in the tests' venv; each takes some minutes.

texts, images: peak memory of the process on the built-in model, at few items and at many. Images are 640-px JPEGs,
1,000 different ones under more names. throughput: 640-px JPEGs a second on ViT-B-32 at full size with random weights,
in turns: the whole command, Embedder.embed_images on the same bytes in memory, the engine on pixels in the same
batches, and decoding alone. All of them share the processor's cores, so that what the last two leave is the bound:
an image takes the engine's time on all cores and then the decoder's. index: seconds and peak memory of a first run over
a folder of different 160-px JPEGs, of the runs after it when nothing has changed, and when one in a thousand has.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from photographs import photographs
from random_checkpoint import write_random_checkpoint

import openclip_api
from openclip_api.bulk.command import embed
from openclip_api.bulk.options import EmbedOptions, add_embed_arguments, options_of
from openclip_api.runtime.embedder import Embedder
from openclip_api.settings import read_settings

DIFFERENT, IMAGES, ROUNDS = 1000, 300, 5


def write_images(folder: Path, count: int, names: int | None = None) -> Path:
    """So many different ones; then their names again, until there are `names`."""
    folder.mkdir()
    for number, content in enumerate(photographs(count, 640, 480)):
        (folder / f"{number:06d}.jpg").write_bytes(content)
    for number in range(count, names or count):
        (folder / f"{number:06d}.jpg").hardlink_to(folder / f"{number % count:06d}.jpg")
    return folder


def write_texts(path: Path, count: int) -> Path:
    path.write_text("\n".join(f"text {number}" for number in range(count)))
    return path


def index(folder: Path, count: int) -> None:
    """The contents differ in some bytes behind the image's end, so that each is embedded."""
    source, store = folder / "images", folder / "s.lance"
    contents = list(photographs(DIFFERENT, 160, 120))
    for number in range(count):
        path = source / f"{number // 1000:03d}" / f"{number:06d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(contents[number % DIFFERENT] + number.to_bytes(8, "big"))
    command = [sys.executable, "-m", "openclip_api", "index", str(source), "--store", str(store)]
    for name in ("first", "nothing new", "nothing new", "nothing new", "one in a thousand changed"):
        if name.startswith("one"):
            for path in sorted(source.rglob("*.jpg"))[::1000]:
                path.write_bytes(path.read_bytes() + b"changed")
        print(f"{count:,} images, {name}: {run_and_measure(command)}", flush=True)


def peak_memory(source: Path, out: Path) -> str:
    command = [sys.executable, "-m", "openclip_api", "embed", str(source), "--out", str(out), "--shard-rows", "1000"]
    return run_and_measure(command)


def run_and_measure(command: list[str]) -> str:
    environment = {**os.environ, "MODEL_NAME": "emoji", "PRECISION": "fp32"}
    started, peak = time.perf_counter(), 0
    process = subprocess.Popen([*command, "--progress", "quiet"], env=environment)
    while process.poll() is None:
        status = Path(f"/proc/{process.pid}/status").read_text()
        peak = max([peak, *(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))])
        time.sleep(0.1)
    return f"{peak / 1024:.0f} MB, {time.perf_counter() - started:.1f} s, exit code {process.returncode}"


def throughput(folder: Path) -> None:
    source = write_images(folder / "images", IMAGES)
    contents = [path.read_bytes() for path in sorted(source.iterdir())]
    checkpoint = write_random_checkpoint(folder / "vit-b-32")
    embedder = openclip_api.load(f"local-dir:{checkpoint}", precision="fp32")
    read_image, engine = embedder._read_image, embedder._engine
    pixels = np.stack([read_image(content).pixels for content in contents])  # [N, 224, 224, 3]

    def compute() -> None:
        for start in range(0, IMAGES, 16):
            engine.encode_images(pixels[start : start + 16])

    def decode() -> None:
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(read_image, contents))

    turns = iter(range(10**6))
    runs: dict[str, Callable[[], object]] = {
        "openclip-api embed": lambda: command(source, folder / f"out-{next(turns)}", embedder),
        "Embedder.embed_images": lambda: embedder.embed_images(contents),
        "the engine alone": compute,
        "decoding alone": decode,
    }
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(ROUNDS + 1):  # the first does not count
        for name, run in runs.items():
            started = time.perf_counter()
            run()
            if turn:
                seconds[name].append(time.perf_counter() - started)
    embedder.close()
    report({name: IMAGES / statistics.median(times) for name, times in seconds.items()}, seconds)


def command(source: Path, out: Path, embedder: Embedder) -> int:
    parser = argparse.ArgumentParser()
    add_embed_arguments(parser)
    arguments = [str(source), "--out", str(out), "--progress", "quiet", "--shard-rows", "100"]
    return embed(options_of(EmbedOptions, parser.parse_args(arguments)), read_settings(), lambda settings: embedder)


def report(rates: dict[str, float], seconds: dict[str, list[float]]) -> None:
    for name, rate in rates.items():
        print(f"{name}: {rate:.1f} images/s ({', '.join(f'{IMAGES / s:.1f}' for s in seconds[name])})")
    whole, bytes_in_memory, engine, decoder = rates.values()
    bound = 1 / (1 / engine + 1 / decoder)
    print(f"what the cores' time allows: {bound:.1f} images/s")
    print(f"embed over embed_images {whole / bytes_in_memory:.3f}, over the bound {whole / bound:.3f}, ", end="")
    print(f"over the engine alone {whole / engine:.3f}")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        here = Path(name)
        if sys.argv[1:] == ["texts"]:
            for count in (1000, 100_000):
                print(f"{count:,} texts: {peak_memory(write_texts(here / f'{count}.txt', count), here / f'{count}')}")
        elif sys.argv[1:] == ["images"]:
            for count in (1000, 10_000):
                folder = write_images(here / f"images-{count}", DIFFERENT, count)
                print(f"{count:,} images: {peak_memory(folder, here / f'{count}')}", flush=True)
        elif sys.argv[1:] == ["throughput"]:
            throughput(here)
        elif sys.argv[1:2] == ["index"]:
            index(here, int(sys.argv[2]) if sys.argv[2:] else 100_000)
        else:
            sys.exit(__doc__)
