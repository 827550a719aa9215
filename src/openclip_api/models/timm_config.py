"""What a config says of an image tower from timm; apart from timm.py, which imports all trunks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class TimmConfig:
    """vision_cfg of a timm tower. timm's name tells what the config does not: heads, activation, pooling head."""

    timm_model_name: str
    image_size: Any = 224
    timm_pool: str = "avg"
    timm_proj: str | None = "linear"
    timm_proj_bias: bool = False
