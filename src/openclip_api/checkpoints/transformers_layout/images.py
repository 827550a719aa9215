"""preprocessor_config.json: how transformers prepares an image → PreprocessConfig.

Source: transformers/image_processing_backends.py, TorchvisionBackend, which AutoProcessor takes by default, and
models/*/image_processing_*.py (5.24.0).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...errors import CorruptCheckpoint, UnknownModel, UnsupportedModel, shown
from ..config import MAX_IMAGE_SIZE, PreprocessConfig, Section, as_number, as_whole_number, preprocess_config, read_json

PROCESSOR_FILE = "processor_config.json"  # of 5.0 and later, which keep all parts of a processor in it
IMAGE_FILES = ("preprocessor_config.json", PROCESSOR_FILE)

OPENAI = {"image_mean": list(PreprocessConfig.mean), "image_std": list(PreprocessConfig.std)}
HALVES = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}
CLIP: Section = OPENAI | {"size": {"shortest_edge": 224}, "crop_size": 224, "do_center_crop": True, "resample": 3}
SIGLIP: Section = HALVES | {"size": {"height": 224, "width": 224}, "do_center_crop": False, "resample": 3}

# What each class takes for what the file leaves out.
CLASSES: Mapping[str, Section] = {
    "CLIPImageProcessor": CLIP,
    "CLIPFeatureExtractor": CLIP,
    "ChineseCLIPImageProcessor": CLIP,
    "ChineseCLIPFeatureExtractor": CLIP,
    "BitImageProcessor": CLIP,
    "SiglipImageProcessor": SIGLIP,
    "ViTImageProcessor": {**SIGLIP, "resample": 2, "default_to_square": True},
    "ViTFeatureExtractor": {**SIGLIP, "resample": 2, "default_to_square": True},
}
CLASS_OF = {"siglip": "SiglipImageProcessor", "chinese_clip": "ChineseCLIPImageProcessor"}  # else CLIP's
FLAGS: Section = {"do_resize": True, "do_rescale": True, "do_normalize": True, "rescale_factor": 1 / 255,
                  "default_to_square": False, "do_convert_rgb": True}  # fmt: skip

INTERPOLATIONS = {2: "bilinear", 3: "bicubic"}  # PIL.Image.Resampling
NO_PART = {"processor_class", "image_processor_type", "feature_extractor_type", "_valid_processor_keys", "crop_size",
           "data_format", "input_data_format", "return_tensors", "device", "disable_grouping", "backend",
           "image_seq_length"}  # fmt: skip


def read_image_processor(folder: Path, kind: str, image_size: int) -> PreprocessConfig:
    """kind: model_type. image_size: what the image tower takes, in pixels.

    Raises UnknownModel, UnsupportedModel, CorruptCheckpoint.
    """
    path, written = _processor(folder)
    given = written.get("image_processor_type") or written.get("feature_extractor_type")
    name = str(given or CLASS_OF.get(kind, "CLIPImageProcessor"))
    defaults = CLASSES.get(name.removesuffix("Fast").removesuffix("Pil"))
    if defaults is None:
        raise UnsupportedModel(f"{path}: image_processor_type {shown(given)}: expected one of {', '.join(CLASSES)}")
    facts = {**FLAGS, **defaults, **{key: value for key, value in written.items() if value is not None}}
    try:
        return _translated(facts, image_size)
    except (UnsupportedModel, CorruptCheckpoint) as error:
        raise type(error)(f"{path}: {error}") from error


def _processor(folder: Path) -> tuple[Path, Section]:
    """transformers/models/auto/image_processing_auto.py, get_image_processor_config: the newer file comes first."""
    for name in reversed(IMAGE_FILES):
        path = folder / name
        written = read_json(path) if path.is_file() else {}
        if name == PROCESSOR_FILE and isinstance(written, dict):
            written = written.get("image_processor") or {}
        if not isinstance(written, dict):
            what = "image_processor" if name == PROCESSOR_FILE else "it"
            raise CorruptCheckpoint(f"{path}: {what} is not a JSON object")
        if path.is_file() and (written or name != PROCESSOR_FILE):
            return path, written
    raise UnknownModel(
        f"{folder} has no preprocessor_config.json, which says how images are prepared: "
        "copy it from the model that this one was trained from"
    )


def _translated(facts: Section, image_size: int) -> PreprocessConfig:
    unknown = [key for key in facts.keys() - FLAGS.keys() - CLIP.keys() - NO_PART if facts[key]]
    if unknown:
        raise UnsupportedModel(f"{sorted(unknown)[0]} is not supported")
    for flag in (*(name for name in FLAGS if name != "rescale_factor"), "do_center_crop"):
        if not isinstance(facts[flag], bool):
            raise UnsupportedModel(f"{flag} {shown(facts[flag])}: expected true or false")
    if not facts["do_resize"]:
        raise UnsupportedModel("do_resize is false: images of all sizes are served")
    if type(facts["resample"]) is not int or facts["resample"] not in INTERPOLATIONS:
        raise UnsupportedModel(f"resample {shown(facts['resample'])}: expected 2 (bilinear) or 3 (bicubic)")
    squash, resized = _size("size", facts["size"], bool(facts["default_to_square"]))
    crop = _size("crop_size", facts["crop_size"], True)[1] if facts["do_center_crop"] else resized
    if not squash and not facts["do_center_crop"]:
        raise UnsupportedModel("do_center_crop is false, and size leaves the image's shape as it is")
    if crop > resized:
        raise UnsupportedModel(f"crop_size {crop} is more than size {resized}")
    if crop != image_size:
        raise UnsupportedModel(f"it makes images of {crop} pixels, and config.json has image_size {image_size}")
    mean, std = _normalisation(facts)
    preprocess = preprocess_config(
        {
            "mean": mean,
            "std": std,
            "interpolation": INTERPOLATIONS[facts["resample"]],
            "resize_mode": "squash" if squash else "shortest",
        },
        image_size,
    )
    return replace(preprocess, convert_first=True, resized_size=resized if resized > crop else None)


def _size(name: str, value: Any, default_to_square: bool) -> tuple[bool, int]:
    """Whether both sides are given, and pixels: 224, {"shortest_edge": 224} or {"height": 224, "width": 224}."""
    written = value
    if isinstance(value, list) and len(value) == 2:
        written = dict(zip(("height", "width"), value, strict=True))
    if not isinstance(written, dict):
        written = {"height": value, "width": value} if default_to_square else {"shortest_edge": value}
    sides = {key: as_whole_number(side, 1, MAX_IMAGE_SIZE) for key, side in written.items()}
    pixels = next(iter(sides.values()), None)
    keys = set(sides)
    if keys not in ({"shortest_edge"}, {"height", "width"}) or pixels is None or set(sides.values()) != {pixels}:
        raise UnsupportedModel(
            f"{name} {shown(value)}: expected a shortest_edge, or a height and a width that are the same, "
            f"of up to {MAX_IMAGE_SIZE} pixels"
        )
    return keys == {"height", "width"}, pixels


def _normalisation(facts: Section) -> tuple[list[float], list[float]]:
    """Mean and deviation for pixels from 0 to 1, whatever factor the pixels from 0 to 255 are multiplied by."""
    factor = as_number(facts["rescale_factor"]) if facts["do_rescale"] else 1.0
    if factor is None or factor <= 0:
        raise UnsupportedModel(f"rescale_factor {shown(facts['rescale_factor'])}: expected a number above 0")
    scale = factor * 255 if abs(factor * 255 - 1) > 1e-6 else 1.0
    mean, std = (facts["image_mean"], facts["image_std"]) if facts["do_normalize"] else (0.0, 1.0)
    return _channels("image_mean", mean, scale), _channels("image_std", std, scale)


def _channels(name: str, value: Any, scale: float) -> list[float]:
    numbers = [as_number(number) for number in (value if isinstance(value, list) else [value] * 3)]
    if len(numbers) != 3 or None in numbers:
        raise UnsupportedModel(f"{name} {shown(value)}: expected three numbers")
    if name == "image_std" and any(number is not None and number <= 0 for number in numbers):
        raise UnsupportedModel(f"{name} {shown(value)}: expected three numbers above 0")
    return [number / scale if scale != 1 else number for number in numbers if number is not None]
