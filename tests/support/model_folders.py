"""A golden model as a config and tensors in memory, to change one thing and build it."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file

from openclip_api.checkpoints.checkpoint import PreprocessConfig
from openclip_api.checkpoints.weights import read_weights
from openclip_api.models.build import Towers, build_towers

from ..golden import MODELS

CLIPA = MODELS["clipa"]  # its weights are float32
CONFIG: Mapping[str, Any] = json.loads((CLIPA / "open_clip_config.json").read_text())["model_cfg"]
TENSORS: Mapping[str, np.ndarray] = load_file(CLIPA / "open_clip_model.safetensors")


def changed(where: str, value: Any) -> dict[str, Any]:
    """CONFIG with one flag set: "quick_gelu", "vision_cfg.width"."""
    config = copy.deepcopy(dict(CONFIG))
    *sections, flag = where.split(".")
    section = config
    for name in sections:
        section = section[name]
    section[flag] = value
    return config


def built(folder: Path, config: Mapping[str, Any] = CONFIG, tensors: Mapping[str, np.ndarray] = TENSORS) -> Towers:
    path = folder / "open_clip_model.safetensors"
    save_file(dict(tensors), path)
    return build_towers(config, PreprocessConfig(size=config["vision_cfg"]["image_size"]), read_weights(path))
