"""open_clip_config.json: the architecture as open_clip wrote it, and how images become pixels."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from ..errors import CorruptCheckpoint, UnknownModel, UnsupportedModel

CONFIG_FILE = "open_clip_config.json"
INTERPOLATIONS = ("bicubic", "bilinear")
RESIZE_MODES = ("shortest", "squash", "longest")


@dataclass(frozen=True)
class PreprocessConfig:
    """How an image's bytes become pixels: open_clip/transform.py, PreprocessCfg."""

    size: int = 224  # pixels, square
    mean: tuple[float, ...] = (0.48145466, 0.4578275, 0.40821073)
    std: tuple[float, ...] = (0.26862954, 0.26130258, 0.27577711)
    interpolation: str = "bicubic"  # or "bilinear"
    resize_mode: str = "shortest"  # or "squash", "longest"
    fill_color: int = 0  # of the border that "longest" leaves


def read_config(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """model_cfg and preprocess_cfg of an open_clip_config.json. Raises UnknownModel, CorruptCheckpoint."""
    if not path.is_file():
        raise UnknownModel(f"{path}: no such file; an OpenCLIP folder has one beside its weights")
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise CorruptCheckpoint(f"{path} is not JSON ({error})") from error
    except OSError as error:
        raise CorruptCheckpoint(f"{path} cannot be read ({error.strerror})") from error
    config = _section(path, content, "model_cfg")
    for key in ("vision_cfg", "text_cfg"):
        _section(path, config, key)
    if "embed_dim" not in config:
        raise CorruptCheckpoint(f"{path}: model_cfg has no 'embed_dim'")
    return config, _section(path, {"preprocess_cfg": {}, **content}, "preprocess_cfg")


def _section(path: Path, parent: Any, key: str) -> dict[str, Any]:
    section = parent.get(key) if isinstance(parent, dict) else None
    if not isinstance(section, dict):
        raise CorruptCheckpoint(f"{path}: {key!r} is missing or is not an object")
    return section


def preprocess_config(config: dict[str, Any], facts: dict[str, Any]) -> PreprocessConfig:
    """open_clip/transform.py, merge_preprocess_dict; the tower's image_size overrides `size`."""
    known = {field.name for field in fields(PreprocessConfig)} - {"size"}
    values = {key: value for key, value in facts.items() if key in known and value is not None}
    for key in ("mean", "std"):
        if key in values:
            values[key] = _per_channel(key, values[key])
    if values.get("interpolation") == "random":  # open_clip evaluates such models with bicubic
        values["interpolation"] = "bicubic"
    preprocess = PreprocessConfig(size=_image_size(config["vision_cfg"].get("image_size", 224)), **values)
    if preprocess.interpolation not in INTERPOLATIONS:
        raise _unsupported("interpolation", preprocess.interpolation, " or ".join(INTERPOLATIONS))
    if preprocess.resize_mode not in RESIZE_MODES:
        raise _unsupported("resize_mode", preprocess.resize_mode, ", ".join(RESIZE_MODES))
    if type(preprocess.fill_color) is not int:
        raise _unsupported("fill_color", preprocess.fill_color, "a whole number")
    return preprocess


def _image_size(size: Any) -> int:
    if isinstance(size, list) and len(set(size)) == 1:
        size = size[0]
    if type(size) is not int or size < 1:
        raise UnsupportedModel(f"vision_cfg.image_size {size!r}: only square images are supported")
    return size


def _per_channel(key: str, value: Any) -> tuple[float, ...]:
    numbers = tuple(value) if isinstance(value, (list, tuple)) else (value,) * 3
    real = all(isinstance(number, (int, float)) and math.isfinite(number) for number in numbers)
    if len(numbers) != 3 or not real or (key == "std" and 0 in numbers):
        raise _unsupported(key, value, "three numbers (none of std's is 0)")
    return numbers


def _unsupported(key: str, value: object, expected: str) -> UnsupportedModel:
    return UnsupportedModel(f"preprocess_cfg.{key} {value!r}: expected {expected}")
