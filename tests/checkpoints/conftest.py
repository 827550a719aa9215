from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from ..support.hub_server import Hub

CONFIG = {"model_cfg": {"embed_dim": 8, "vision_cfg": {"image_size": 32}, "text_cfg": {}}, "preprocess_cfg": {}}
WEIGHTS = "open_clip_model.safetensors"
REPO = "org/small"


def weights(value: float = 1.0, floats: int = 1 << 14) -> bytes:
    return save({"value": np.full(floats, value, np.float32)})


def small_repository() -> dict[str, bytes]:
    return {"open_clip_config.json": json.dumps(CONFIG).encode(), WEIGHTS: weights()}


@pytest.fixture
def hub() -> Iterator[Hub]:
    """A hub with one small OpenCLIP repository."""
    with Hub({REPO: small_repository()}) as hub:
        yield hub


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home folder with nothing in it."""
    (tmp_path / "home").mkdir()
    return tmp_path / "home"
