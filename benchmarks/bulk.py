"""openclip-api embed against the bare engine, and its memory over the number of items.

python benchmarks/bulk.py, in the tests' venv. Prints ratios: 640-px JPEGs a second of the whole command over those of
Embedder.embed_images on bytes in memory, in turns; and the peak memory of the process at 1,000 and 100,000 texts.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import skimage.data
from PIL import Image

import openclip_api
from openclip_api.bulk.command import embed
from openclip_api.bulk.options import add_arguments, take_options
from openclip_api.settings import read_settings

IMAGES, ROUNDS = 600, 4


def write_images(folder: Path) -> None:
    draw = np.random.default_rng(0)
    photographs = [skimage.data.astronaut(), skimage.data.coffee(), skimage.data.chelsea(), skimage.data.rocket()]
    for number in range(IMAGES):
        pixels = np.array(Image.fromarray(photographs[number % 4]).convert("RGB").resize((640, 480)))
        pixels[:16, :16] = draw.integers(0, 255, (16, 16, 3))  # no two alike: those are computed once
        Image.fromarray(pixels).save(folder / f"{number:04d}.jpg", quality=90)


def throughput(folder: Path) -> None:
    source = folder / "images"
    source.mkdir()
    write_images(source)
    contents = [path.read_bytes() for path in sorted(source.iterdir())]
    embedder = openclip_api.load("emoji", precision="fp32")
    ratios = []
    for turn in range(ROUNDS):
        started = time.perf_counter()
        embedder.embed_images(contents)
        bare = time.perf_counter() - started
        parser = argparse.ArgumentParser()
        add_arguments(parser)
        arguments = [str(source), "--out", str(folder / f"out-{turn}"), "--progress", "quiet", "--shard-rows", "200"]
        options = take_options(vars(parser.parse_args(arguments)))
        started = time.perf_counter()
        embed(options, read_settings(), lambda: embedder)
        ratios.append(bare / (time.perf_counter() - started))
    embedder.close()
    print(
        f"throughput over the bare engine's: {', '.join(f'{r:.2f}' for r in ratios)}; {statistics.median(ratios):.2f}"
    )


def memory(folder: Path, items: int) -> None:
    (folder / f"{items}.txt").write_text("\n".join(f"text {number}" for number in range(items)))
    command = ["embed", f"{folder}/{items}.txt", "--out", f"{folder}/{items}", "--shard-rows", "1000"]
    environment = {**os.environ, "MODEL_NAME": "emoji", "PRECISION": "fp32"}
    process = subprocess.Popen([sys.executable, "-m", "openclip_api", *command, "--progress", "quiet"], env=environment)
    _, status, usage = os.wait4(process.pid, 0)
    print(f"{items:,} texts: {usage.ru_maxrss / 1024:.0f} MB, exit code {os.waitstatus_to_exitcode(status)}")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        memory(Path(name), 1000)
        memory(Path(name), 100_000)
        throughput(Path(name))
