"""A tower's graph → the same graph in int8, with scales that NNCF measures on the user's own items.

Needs an extra: NNCF.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import nncf
import openvino as ov
from numpy.typing import NDArray

from ..models.build import Towers


def calibrate(towers: Towers, tower: str, batch: NDArray[Any], path: Path) -> None:
    """Write `path` (.xml) and its .bin.

    tower: "image" with a batch of pixels [N, size, size, 3], or "text" with ids [N, context_length].
    """
    nncf.set_log_level(logging.ERROR)
    graph = towers.image if tower == "image" else towers.text.graph
    items = [batch[index : index + 1] for index in range(len(batch))]
    inputs = (lambda pixels: {"pixels": pixels}) if tower == "image" else towers.text.model_inputs
    # CPUs with AVX2 but no VNNI add two products in 16 bits, which 8-bit weights overflow: so weights get 7 bits. The
    # graph may move to such a CPU, so it has them wherever it was made.
    weights = nncf.AdvancedQuantizationParameters(overflow_fix=nncf.OverflowFix.ENABLE)
    rounded = nncf.quantize(
        graph.clone(),
        nncf.Dataset(items, inputs),
        model_type=nncf.ModelType.TRANSFORMER,
        advanced_parameters=weights,
        subset_size=len(items),
    )
    ov.save_model(rounded, path, compress_to_fp16=False)
