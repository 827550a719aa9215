"""Towers compiled by OpenVINO: for this machine's CPU, or for an Intel GPU or NPU."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from ..errors import CorruptCheckpoint, InvalidSetting, UnsupportedModel
from ..models.build import Towers
from ..models.int8 import round_weights
from ..models.packed_texts import filled
from .base import Vectors
from .cores import available_cores
from .shapes import batch_rows, batch_tokens, padded, passes

PRECISIONS = ("fp32", "bf16", "int8")
ELEMENT_TYPES = {"fp32": "f32", "fp16": "f16", "bf16": "bf16"}

# How many inputs share a scale when they are rounded to int8. OpenVINO's default, 32, is made for language models. Here
# 256 takes 0.7 of the time, and the cosine to fp32 stays above 0.9997 (random ViT-B-32).
GROUP_SIZE = 256


class OpenVinoEngine:
    """One infer request for each tower: each call uses all threads for its one batch.

    There is one stream, whatever the number of cores. So a single client gets the whole machine. And a small batch
    spends its time on reading the weights, which are then read once for all items that wait. On some 16 cores or more
    small batches leave cores idle: there several processes do more, WORKERS (docs/scaling.md).

    precision: "fp32", "bf16", "auto" (bf16 where the CPU computes in it, else fp32), or "int8": a tower from its
    calibrated graph where there is one, else with rounded weights.
    threads: how many cores to use, 0 for all that affinity and quota allow.
    calibrated: the calibrated graphs by tower, "image" and "text".
    device: OpenVINO's name for it. Only the CPU takes threads and int8; elsewhere "auto" is fp16.

    Raises UnsupportedModel where the device cannot run the graphs.
    """

    name = "openvino"

    def __init__(
        self,
        towers: Towers,
        precision: str = "auto",
        threads: int = 0,
        calibrated: Mapping[str, Path] = MappingProxyType({}),
        device: str = "cpu",
    ) -> None:
        core = _core()
        self.device = device
        self.precision = native_precision(core, device) if precision == "auto" else precision
        # Not the tower itself: its graph may go once it is compiled.
        self._text_inputs, self._text_lengths = towers.text.model_inputs, towers.text.lengths
        self._weights = towers.weights  # OpenVINO keeps float32 and float16 arrays alive, but not bfloat16 ones
        self._image, self._text = (
            _compiled(core, graph, self.precision, threads, calibrated.get(tower))
            if device == "cpu"
            else _compiled_elsewhere(core, graph, self.precision, device)
            for tower, graph in (("image", towers.image), ("text", towers.text.graph))
        )

    def encode_images(self, pixels: NDArray[np.uint8]) -> Vectors:
        return self._infer(self._image, {"pixels": padded(pixels, batch_rows(len(pixels)))})[: len(pixels)]

    def encode_texts(self, ids: NDArray[np.int32]) -> Vectors:
        if self._text_lengths is None:
            return self._infer(self._text, self._text_inputs(padded(ids, batch_rows(len(ids)))))[: len(ids)]
        vectors = [
            self._infer(self._text, filled(self._text_inputs(ids[texts]), batch_tokens(tokens)))
            for texts, tokens in passes(self._text_lengths(ids).tolist())
        ]
        return np.concatenate(vectors) if len(vectors) > 1 else vectors[0]

    def close(self) -> None:
        del self._image, self._text

    @staticmethod
    def _infer(request: ov.InferRequest, inputs: Mapping[str, NDArray[np.generic]]) -> Vectors:
        vectors: Vectors = request.infer(inputs, share_inputs=True, share_outputs=True)[0]
        return vectors.copy()  # the next batch overwrites the request's own memory


def _compiled(core: ov.Core, graph: ov.Model, precision: str, threads: int, calibrated: Path | None) -> ov.InferRequest:
    precision_between = precision  # of what stands between the int8 layers
    if precision == "int8" and calibrated is not None:
        graph = _calibrated(core, graph, calibrated)
        precision_between = native_precision(core)
    elif precision == "int8":
        graph = graph.clone()
        round_weights(graph)
        precision_between = "fp32"  # with any other OpenVINO would not round the inputs of a layer
    options = {
        "INFERENCE_PRECISION_HINT": ELEMENT_TYPES[precision_between],
        "DYNAMIC_QUANTIZATION_GROUP_SIZE": GROUP_SIZE,
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": 1,
        "INFERENCE_NUM_THREADS": threads or _allowed_threads(),
        "ENABLE_CPU_PINNING": False,  # it pins from core 0 on: two processes would share the first cores
    }
    return core.compile_model(graph, "CPU", options).create_infer_request()


def _compiled_elsewhere(core: ov.Core, graph: ov.Model, precision: str, device: str) -> ov.InferRequest:
    options = {"INFERENCE_PRECISION_HINT": ELEMENT_TYPES[precision], "PERFORMANCE_HINT": "LATENCY"}
    try:
        return core.compile_model(graph, device.upper(), options).create_infer_request()
    except RuntimeError as error:
        why = str(error).strip().splitlines()[-1]  # the lines before tell where in OpenVINO's source
        raise UnsupportedModel(f"DEVICE={device} cannot run this model ({why}): set DEVICE=cpu") from error


def _allowed_threads() -> int:
    """0 where all cores may be used: OpenVINO then leaves hyperthreads out. It knows nothing of quotas."""
    cores = available_cores()
    return cores if cores < (os.cpu_count() or 1) else 0


def _calibrated(core: ov.Core, graph: ov.Model, path: Path) -> ov.Model:
    """What was calibrated from `graph`. Raises CorruptCheckpoint."""
    try:
        found = core.read_model(path)
    except RuntimeError as error:
        raise CorruptCheckpoint(f"{path} cannot be read: delete its folder, and calibrate again") from error
    if [parameter.get_names() for parameter in found.inputs] != [parameter.get_names() for parameter in graph.inputs]:
        raise CorruptCheckpoint(f"{path} is of an earlier version: calibrate again with openclip-api quantize")
    return found


@cache
def _core() -> ov.Core:
    """One for the process, and never freed.

    Without any Core, closing the last engine unloads OpenVINO's CPU plugin while some of its threads may still be
    ending. This is a likely reason for an abort in `close` that was seen once in some hundred times.
    """
    return ov.Core()


def native_precision(core: ov.Core, device: str = "cpu") -> str:
    """What OpenVINO would choose: bf16 only on CPUs with instructions for it, fp16 on other devices."""
    if device != "cpu":
        return "fp16"
    return "bf16" if core.get_property("CPU", "INFERENCE_PRECISION_HINT") == ov.Type.bf16 else "fp32"


def check_device(device: str) -> None:
    """Raises InvalidSetting where OpenVINO does not find the device on this machine."""
    found = [name.lower() for name in _core().available_devices]
    if device not in {name.partition(".")[0] for name in found}:
        raise InvalidSetting(f"DEVICE={device}: OpenVINO finds none here, only {', '.join(found)}")


def check_precision(precision: str, device: str = "cpu") -> None:
    """Raises InvalidSetting for a precision that there is not, or that this device cannot compute in."""
    if precision not in ("auto", *PRECISIONS):
        raise InvalidSetting(f"PRECISION={precision!r}: allowed are auto, {', '.join(PRECISIONS)}")
    if device != "cpu" and precision in ("bf16", "int8"):
        raise InvalidSetting(f"PRECISION={precision}: not with DEVICE={device}; allowed there: auto (fp16), fp32")
    if precision == "bf16" and "BF16" not in _core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        raise InvalidSetting("PRECISION=bf16: this CPU has no bfloat16; allowed here: auto, fp32")
