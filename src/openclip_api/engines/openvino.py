"""Towers compiled for this machine's CPU by OpenVINO."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from ..errors import CorruptCheckpoint, InvalidSetting
from ..models.build import Towers
from ..models.int8 import round_weights
from ..models.text_tower import next_size
from .base import Vectors
from .shapes import text_shape

PRECISIONS = ("fp32", "bf16", "int8")
ELEMENT_TYPES = {"fp32": "f32", "bf16": "bf16"}

# Inputs that share a scale when they are rounded to int8. OpenVINO's own 32 is made for language models; here 256 takes
# 0.7 of the time, and the cosine to fp32 stays above 0.9997 (random ViT-B-32).
GROUP_SIZE = 256


class OpenVinoEngine:
    """One infer request per tower: each call uses all threads for its one batch.

    One stream, whatever the number of cores: all of them work on one batch, so that a single client gets the whole
    machine, and the weights, which a small batch spends its time reading, are read once for all that waits. On some
    16 cores or more small batches leave cores idle; there several processes with THREADS each do more (docs/tuning.md).

    precision: "fp32", "bf16", "auto" (bf16 where the CPU computes in it, else fp32), or "int8": a tower that was
    calibrated as its graph says, any other with rounded weights. calibrated: graphs by tower, "image" and "text".
    threads: how many cores to use, 0 for all.
    """

    name = "openvino"
    device = "cpu"

    def __init__(
        self,
        towers: Towers,
        precision: str = "auto",
        threads: int = 0,
        calibrated: Mapping[str, Path] = MappingProxyType({}),
    ) -> None:
        core = _core()
        self.precision = native_precision(core) if precision == "auto" else precision
        self.trims_texts = towers.trims_texts
        self._text_feeds = towers.text_feeds
        self._text_shape = text_shape(self.precision)
        self._weights = towers.weights  # OpenVINO itself holds on to float32 and float16 arrays, not to bfloat16 ones
        self._image, self._text = (
            _compiled(core, graph, self.precision, threads, calibrated.get(tower))
            for tower, graph in (("image", towers.image), ("text", towers.text))
        )

    def encode_images(self, pixels: NDArray[np.uint8]) -> Vectors:
        return self._infer(self._image, {"pixels": padded(pixels)})[: len(pixels)]

    def encode_texts(self, ids: NDArray[np.int32]) -> Vectors:
        feeds = self._text_feeds(padded(ids))
        rows, length = self._text_shape.at_least(*feeds["ids"].shape)
        if (rows, length) != feeds["ids"].shape:
            feeds = self._text_feeds(padded(ids, rows), length)
        return self._infer(self._text, feeds)[: len(ids)]

    def close(self) -> None:
        del self._image, self._text

    @staticmethod
    def _infer(request: ov.InferRequest, feeds: Mapping[str, NDArray[np.generic]]) -> Vectors:
        vectors: Vectors = request.infer(feeds, share_inputs=True, share_outputs=True)[0]
        return vectors.copy()  # the request's own memory is overwritten by the next batch


def _compiled(core: ov.Core, graph: ov.Model, precision: str, threads: int, calibrated: Path | None) -> ov.InferRequest:
    between = precision
    if precision == "int8" and calibrated is not None:
        try:
            graph = core.read_model(calibrated)
        except RuntimeError as error:
            raise CorruptCheckpoint(f"{calibrated} cannot be read: delete its folder, and calibrate anew") from error
        between = native_precision(core)  # of what stands between the int8 layers
    elif precision == "int8":
        graph = graph.clone()
        round_weights(graph)
        between = "fp32"  # with any other OpenVINO would not round what goes into a layer
    options = {
        "INFERENCE_PRECISION_HINT": ELEMENT_TYPES[between],
        "DYNAMIC_QUANTIZATION_GROUP_SIZE": GROUP_SIZE,
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": 1,
        "INFERENCE_NUM_THREADS": threads,
    }
    return core.compile_model(graph, "CPU", options).create_infer_request()


def padded(batch: NDArray[Any], rows: int = 1) -> NDArray[Any]:
    """[B, ...] → [B', ...], where B' is one of a few sizes, or `rows` if that is more: the last item is repeated."""
    missing = max(next_size(len(batch)), rows) - len(batch)
    return np.concatenate([batch, np.repeat(batch[-1:], missing, axis=0)]) if missing else batch


@cache
def _core() -> ov.Core:
    """One for the process, never let go. Without any, closing the last engine unloads OpenVINO's CPU plugin while
    threads of its may still be ending: a likely reason for the abort seen in `close` once in some hundred times."""
    return ov.Core()


def native_precision(core: ov.Core) -> str:
    """What OpenVINO would choose: bf16 only on CPUs with instructions for it."""
    return "bf16" if core.get_property("CPU", "INFERENCE_PRECISION_HINT") == ov.Type.bf16 else "fp32"


def check_precision(precision: str) -> None:
    """Raises InvalidSetting for a precision that there is not, or that this CPU cannot compute in."""
    if precision not in ("auto", *PRECISIONS):
        raise InvalidSetting(f"PRECISION={precision!r}: allowed are auto, {', '.join(PRECISIONS)}")
    if precision == "bf16" and "BF16" not in _core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        raise InvalidSetting("PRECISION=bf16: this CPU has no bfloat16; allowed here: auto, fp32")
