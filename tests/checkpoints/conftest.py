from __future__ import annotations

import hashlib
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
NAME = f"hf-hub:{REPO}"


def weights(value: float = 1.0, floats: int = 1 << 14) -> bytes:
    return save({"value": np.full(floats, value, np.float32)})


SHA256 = hashlib.sha256(weights()).hexdigest()


def small_repository() -> dict[str, bytes]:
    return {"open_clip_config.json": json.dumps(CONFIG).encode(), WEIGHTS: weights()}


def with_tokenizer(hub: Hub, repo: str, files: dict[str, bytes]) -> None:
    config = {**CONFIG, "model_cfg": {**CONFIG["model_cfg"], "text_cfg": {"hf_tokenizer_name": repo}}}
    hub.repos[REPO]["open_clip_config.json"] = json.dumps(config).encode()
    hub.repos[repo] = dict(files)


def blob(home: Path) -> Path:
    """The cached weights themselves, behind the cache's links."""
    (link,) = home.glob(f".cache/huggingface/hub/models--*/snapshots/*/{WEIGHTS}")
    return link.resolve()


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
