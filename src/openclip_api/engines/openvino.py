"""Towers compiled for this machine's CPU by OpenVINO."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from ..errors import InvalidSetting
from ..models.build import Towers
from ..models.text_tower import next_size
from .base import Vectors

ELEMENT_TYPES = {"fp32": "f32", "bf16": "bf16"}


class OpenVinoEngine:
    """One infer request per tower: each call uses all threads for its one batch.

    precision: "fp32", "bf16", or "auto" (bf16 where the CPU computes in it, else fp32).
    threads: how many cores to use, 0 for all.
    """

    name = "openvino"
    device = "cpu"

    def __init__(self, towers: Towers, precision: str = "auto", threads: int = 0) -> None:
        core = ov.Core()
        self.precision = native_precision(core) if precision == "auto" else precision
        options = {
            "INFERENCE_PRECISION_HINT": ELEMENT_TYPES[self.precision],
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": 1,
            "INFERENCE_NUM_THREADS": threads,
        }
        self.trims_texts = towers.trims_texts
        self._text_feeds = towers.text_feeds
        self._weights = towers.weights  # OpenVINO itself holds on to float32 and float16 arrays, not to bfloat16 ones
        self._image = core.compile_model(towers.image, "CPU", options).create_infer_request()
        self._text = core.compile_model(towers.text, "CPU", options).create_infer_request()

    def encode_images(self, pixels: NDArray[np.uint8]) -> Vectors:
        return self._infer(self._image, {"pixels": padded(pixels)})[: len(pixels)]

    def encode_texts(self, ids: NDArray[np.int32]) -> Vectors:
        return self._infer(self._text, self._text_feeds(padded(ids)))[: len(ids)]

    def close(self) -> None:
        del self._image, self._text

    @staticmethod
    def _infer(request: ov.InferRequest, feeds: Mapping[str, NDArray[np.generic]]) -> Vectors:
        vectors: Vectors = request.infer(feeds, share_inputs=True, share_outputs=True)[0]
        return vectors.copy()  # the request's own memory is overwritten by the next batch


def padded(batch: NDArray[Any]) -> NDArray[Any]:
    """[B, ...] → [B', ...], where B' is one of a few sizes: the last item is repeated."""
    missing = next_size(len(batch)) - len(batch)
    return np.concatenate([batch, np.repeat(batch[-1:], missing, axis=0)]) if missing else batch


def native_precision(core: ov.Core) -> str:
    """What OpenVINO would choose: bf16 only on CPUs with instructions for it."""
    return "bf16" if core.get_property("CPU", "INFERENCE_PRECISION_HINT") == ov.Type.bf16 else "fp32"


def check_precision(precision: str) -> None:
    """Raises InvalidSetting for a precision that there is not, or that this CPU cannot compute in."""
    if precision not in ("auto", *ELEMENT_TYPES):
        raise InvalidSetting(f"PRECISION={precision!r}: allowed are auto, {', '.join(ELEMENT_TYPES)}")
    if precision == "bf16" and "BF16" not in ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        raise InvalidSetting("PRECISION=bf16: this CPU has no bfloat16; allowed here: auto, fp32")
