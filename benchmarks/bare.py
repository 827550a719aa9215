"""The engine alone, and the processor alone: what no server can be faster than. Prints one line of JSON.

python bare.py FOLDER PRECISION SECONDS CACHE_DIR
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import openvino as ov
import openvino.opset13 as op
from captions import mixed_captions, short_captions

import openclip_api

HINTS = {"fp32": "f32", "bf16": "bf16"}
MIXED, ALIKE = "tokens in batches of 16, short and long texts", "tokens in batches of 16, equal lengths"
TOKENS = "tokens of a short text"
START, WORD, END = 49406, 320, 49407  # of CLIP's vocabulary
# rows, width in, width out of ViT-B-32's largest layers for eight images, and of a large square
GEMMS = ((400, 768, 3072), (400, 3072, 768), (2048, 2048, 2048))


def rate(run: Callable[[], object], seconds: float) -> float:
    """Runs a second, after two that do not count."""
    run(), run()
    times = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        started = time.perf_counter()
        run()
        times.append(time.perf_counter() - started)
    return 1 / float(np.median(times))


def engine_rates(folder: str, precision: str, seconds: float, cache_dir: Path) -> dict[str, float]:
    """Items a second in batches of one and of eight, and what texts of different lengths lose in one batch."""
    embedder = openclip_api.load(f"local-dir:{folder}", precision=precision, cache_dir=cache_dir)
    engine, tokenizer = embedder._engine, embedder._tokenizer
    tokens = [tokenizer(text) for text in short_captions(8)]
    pixels = np.random.default_rng(0).integers(0, 256, (8, 224, 224, 3), np.uint8)
    rates = {}
    for batch in (1, 8):
        ids = np.stack([t.ids for t in tokens[:batch]])
        rates[f"images in batches of {batch}"] = batch * rate(partial(engine.encode_images, pixels[:batch]), seconds)
        rates[f"short texts in batches of {batch}"] = batch * rate(partial(engine.encode_texts, ids), seconds)
    mixed = [tokenizer(text) for text in mixed_captions(16)]
    lengths = [text.count for text in mixed]
    alike = np.zeros_like([text.ids for text in mixed])
    alike[:, : sum(lengths) // 16] = [START, *[WORD] * (sum(lengths) // 16 - 2), END]
    for name, ids in ((MIXED, np.stack([text.ids for text in mixed])), (ALIKE, alike)):
        rates[name] = float((ids != 0).sum()) * rate(partial(engine.encode_texts, ids), seconds)
    rates[TOKENS] = float(np.mean([tokenizer(text).count for text in short_captions(1000)]))
    embedder.close()
    return rates


def gemm_flops(precision: str, seconds: float) -> float:
    """The most floating-point operations a second in a plain matrix product, of some shapes."""
    core = ov.Core()
    best = 0.0
    for rows, width_in, width_out in GEMMS:
        x = op.parameter([rows, width_in], np.float32)
        weight = np.random.default_rng(0).standard_normal((width_out, width_in), np.float32)
        model = ov.Model([op.matmul(x, op.constant(weight), False, True)], [x], "gemm")
        options = {"INFERENCE_PRECISION_HINT": HINTS[precision], "PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": 1}
        request = core.compile_model(model, "CPU", options).create_infer_request()
        request.set_input_tensor(ov.Tensor(np.ones((rows, width_in), np.float32)))
        runs = rate(request.infer, seconds)
        best = max(best, runs * 2 * rows * width_in * width_out)
    return best


if __name__ == "__main__":
    folder, precision, seconds = sys.argv[1], sys.argv[2], float(sys.argv[3])
    rates = engine_rates(folder, precision, seconds, Path(sys.argv[4]))
    if precision in HINTS:
        rates["GEMM, GFLOP/s"] = gemm_flops(precision, seconds) / 1e9
    print(json.dumps(rates))
