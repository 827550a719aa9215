"""What an item becomes: its vector and what is known of it. And what a client may know of the model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..inputs.tokenizer import Tokens

Kind = Literal["image", "text"]
Vector: TypeAlias = NDArray[np.float32]  # [embed_dim]


@dataclass(frozen=True, slots=True)
class Timings:
    """Seconds that an item spent in each stage."""

    decode: float = 0.0  # an image is decoded and resized, a text becomes token ids
    queue: float = 0.0
    compute: float = 0.0  # the forward pass of its batch


@dataclass(frozen=True, slots=True)
class Embedding:
    """vector [embed_dim], as the model gives it. `tokens` are a text's; `image_size` is an image's own (width, height)
    in pixels, before it was resized."""

    vector: Vector
    tokens: Tokens | None = None
    image_size: tuple[int, int] | None = None
    timings: Timings = Timings()


@dataclass(frozen=True)
class ModelInfo:
    """What a client may want to know of the model that answers it.

    logit_scale is the factor on cosines before a softmax or sigmoid (the exponential of the checkpoint's tensor).
    logit_bias is what is then added. Each is None where the model has none. image_reading: see LoadOptions.
    activation: of the towers that are open_clip's own: "quick_gelu" (x * sigmoid(1.702 x)), "gelu" or "gelu_tanh".
    """

    model_id: str
    name: str
    tag: str | None
    fingerprint: str
    embed_dim: int
    image_size: int
    context_length: int
    activation: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: str
    resize_mode: str
    precision: str
    engine: str
    device: str
    logit_scale: float | None
    logit_bias: float | None
    image_reading: str = "open_clip"


def unit_length(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """[N, E] → [N, E] with each row's L2 norm 1; a zero row stays zero."""
    norms = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.maximum(norms, np.finfo(np.float32).tiny), np.float32)
