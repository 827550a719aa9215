"""What decoding in child processes costs: images per second with as many children as threads, and their ratio.

    python benchmarks/decode_isolation.py

Both take turns, ten times each; the median of the ten ratios counts, since other work on the machine hits both.
"""

from __future__ import annotations

import io
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from statistics import median

import numpy as np
import skimage.data
from PIL import Image

from openclip_api.checkpoints.config import PreprocessConfig
from openclip_api.inputs.decoder_processes import DecoderProcesses
from openclip_api.inputs.images import image_reader

SIZES = [(224, 224), (320, 240), (640, 480), (1280, 960)]
ROUNDS, SECONDS = 10, 0.7
WORKERS = os.cpu_count() or 1


def main() -> None:
    config = PreprocessConfig()
    here, isolated = image_reader(config), DecoderProcesses(config, 40, WORKERS)
    with ThreadPoolExecutor(WORKERS) as pool:
        print("| JPEG | KB | threads, images/s | processes, images/s | ratio | added per image, core-ms |")
        print("|---|---|---|---|---|---|")
        for size in SIZES:
            images = [jpeg(size, seed) for seed in range(16)]
            count = max(32, int(SECONDS / timed(pool, here, images) * len(images)))
            work = (images * (count // len(images) + 1))[:count]
            timed(pool, isolated, work)
            rounds = [(timed(pool, here, work), timed(pool, isolated, work)) for _ in range(ROUNDS)]
            a, b = (median(count / seconds[i] for seconds in rounds) for i in (0, 1))
            ratio = median(thread / process for thread, process in rounds)
            added = (1 / b - 1 / a) * WORKERS * 1000
            print(
                f"| {size[0]} x {size[1]} | {len(images[0]) // 1000} | {a:.0f} | {b:.0f} | {ratio:.2f} | {added:.2f} |"
            )
    isolated.close()


def timed(pool: ThreadPoolExecutor, decode: Callable[[bytes], object], work: list[bytes]) -> float:
    started = time.perf_counter()
    list(pool.map(decode, work))
    return time.perf_counter() - started


def jpeg(size: tuple[int, int], seed: int) -> bytes:
    photo = np.asarray(Image.fromarray(skimage.data.astronaut()).resize(size), np.int16)
    noise = np.random.default_rng(seed).integers(-6, 7, photo.shape)
    file = io.BytesIO()
    Image.fromarray((photo + noise).clip(0, 255).astype(np.uint8)).save(file, "JPEG", quality=90)
    return file.getvalue()


if __name__ == "__main__":
    main()
