"""What an engine is: the code above it knows only these few methods."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]  # [B, embed_dim]


class Engine(Protocol):
    """Both towers, ready to run. Calls must not overlap."""

    name: str  # "openvino", "torch"
    device: str  # "cpu", "gpu", "npu", "cuda", "mps"
    precision: str  # "fp32", "bf16", "fp16", "int8"

    def encode_images(self, pixels: NDArray[np.uint8]) -> Vectors:
        """pixels [B, size, size, 3] → [B, embed_dim], not normalised."""

    def encode_texts(self, ids: NDArray[np.int32]) -> Vectors:
        """ids [B, context_length] → [B, embed_dim], not normalised."""

    def close(self) -> None: ...
