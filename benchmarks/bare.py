"""The engine alone, and the processor alone: what no server can be faster than. Prints one line of JSON.

python bare.py FOLDER PRECISION SECONDS CACHE_DIR
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import openvino as ov
import openvino.opset13 as op
from captions import mixed_captions, short_captions

import openclip_api

Input = TypeVar("Input")

HINTS = {"fp32": "f32", "bf16": "bf16"}
MIXED, ALIKE = "tokens in batches of 16, short and long texts", "tokens in batches of 16, equal lengths"
TOKENS = "tokens of a short text"
START, WORD, END = 49406, 320, 49407  # of CLIP's vocabulary
# rows, width in, width out of ViT-B-32's largest layers for eight images, and of a large square
GEMMS = ((400, 768, 3072), (400, 3072, 768), (2048, 2048, 2048))


def rate(run: Callable[[Input], object], inputs: Sequence[Input], seconds: float) -> float:
    """Runs a second over the inputs in turn, as a server would get them, after two of each that do not count: the
    engine prepares kernels for a shape when it meets it."""
    for each in (*inputs, *inputs):
        run(each)
    runs, started = 0, time.perf_counter()
    while (spent := time.perf_counter() - started) < seconds:
        run(inputs[runs % len(inputs)])
        runs += 1
    return runs / spent


def engine_rates(folder: str, precision: str, seconds: float, cache_dir: Path) -> dict[str, float]:
    """Items a second in batches of one and of eight, and what texts of different lengths lose in one batch."""
    embedder = openclip_api.load(f"local-dir:{folder}", precision=precision, cache_dir=cache_dir)
    engine, tokenizer = embedder._engine, embedder._tokenizer
    texts = [tokenizer(text) for text in short_captions(320)]
    ids = np.stack([text.ids for text in texts])
    pixels = np.random.default_rng(0).integers(0, 256, (8, 224, 224, 3), np.uint8)
    rates = {}
    for batch in (1, 8):
        batches = [ids[at : at + batch] for at in range(0, len(ids), batch)]
        rates[f"images in batches of {batch}"] = batch * rate(engine.encode_images, [pixels[:batch]], seconds)
        rates[f"short texts in batches of {batch}"] = batch * rate(engine.encode_texts, batches, seconds)
    mixed = [tokenizer(text) for text in mixed_captions(16)]
    lengths = [text.count for text in mixed]
    alike = np.zeros_like([text.ids for text in mixed])
    alike[:, : sum(lengths) // 16] = [START, *[WORD] * (sum(lengths) // 16 - 2), END]
    for name, ids in ((MIXED, np.stack([text.ids for text in mixed])), (ALIKE, alike)):
        rates[name] = float((ids != 0).sum()) * rate(engine.encode_texts, [ids], seconds)
    rates[TOKENS] = float(np.mean([text.count for text in texts]))
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
        runs = rate(partial(request.infer, share_inputs=True), [{0: np.ones((rows, width_in), np.float32)}], seconds)
        best = max(best, runs * 2 * rows * width_in * width_out)
    return best


if __name__ == "__main__":
    folder, precision, seconds = sys.argv[1], sys.argv[2], float(sys.argv[3])
    rates = engine_rates(folder, precision, seconds, Path(sys.argv[4]))
    if precision in HINTS:
        rates["GEMM, GFLOP/s"] = gemm_flops(precision, seconds) / 1e9
    print(json.dumps(rates))
