"""A golden model as a config and tensors in memory, to change one thing and build it."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np

from openclip_api.checkpoints.checkpoint import find
from openclip_api.checkpoints.config import PreprocessConfig, model_config
from openclip_api.checkpoints.weight_files import read_weights
from openclip_api.checkpoints.weights import Weights
from openclip_api.models.build import Towers, build_towers

from ..golden import MODELS

WEIGHTS_FILE = "open_clip_model.safetensors"


def config_of(name: str) -> dict[str, Any]:
    """A golden model's model_cfg."""
    config: dict[str, Any] = json.loads((MODELS[name] / "open_clip_config.json").read_text())["model_cfg"]
    return config


@cache
def tensors_of(name: str) -> Mapping[str, np.ndarray]:
    """A golden model's tensors in the types of its file; bfloat16 as uint16."""
    return read_weights(find(f"local-dir:{MODELS[name]}").weights).tensors()


def changed(where: str, value: Any, name: str = "clipa") -> dict[str, Any]:
    """A golden model's model_cfg with one flag set: "quick_gelu", "vision_cfg.width"."""
    config = config_of(name)
    *sections, flag = where.split(".")
    section = config
    for key in sections:
        section = section[key]
    section[flag] = value
    return config


CONFIG: Mapping[str, Any] = config_of("clipa")  # its weights are float32
TENSORS = tensors_of("clipa")


def built(config: Mapping[str, Any] = CONFIG, tensors: Mapping[str, np.ndarray] = TENSORS) -> Towers:
    read = model_config(copy.deepcopy(dict(config)))
    return build_towers(read, PreprocessConfig(size=read.image_size), Weights(tensors))
