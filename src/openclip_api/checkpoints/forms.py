"""How a checkpoint's tensors are named, which tells who wrote them: open_clip, transformers, or somebody else."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Literal

from ..errors import StartupError
from .safetensors import is_safetensors
from .shards import shards_of
from .tower_keys import tower_keys
from .weight_files import stored_names

Form = Literal["open_clip", "transformers", "other"]


def form_of_names(names: Collection[str]) -> Form:
    """The form of a file with tensors of these names.

    open_clip's models have their image tower below "visual." (open_clip/model.py, CLIP and CustomTextCLIP),
    transformers' below "vision_model." (transformers/models/clip, siglip, chinese_clip, altclip). An image tower alone,
    as timm saves it, has neither.
    """
    try:
        keys = tower_keys("", names)
    except StartupError:
        return "other"
    if any(key.startswith("visual.") for key in keys):
        return "open_clip"
    if any(key.startswith(("vision_model.", "text_model.")) for key in keys):
        return "transformers"
    return "other"


def form_of_file(path: Path) -> Form:
    """The form of a file; "other" also for one that cannot be read. Reads a header, and no tensor."""
    try:
        return form_of_names(stored_names(path))
    except StartupError:
        return "other"


def is_open_clips_own(path: Path) -> bool:
    """Whether open_clip reads it as it is: one safetensors file whose tensors have no other names than its own."""
    if not is_safetensors(path) or shards_of(path) is not None:
        return False
    names = stored_names(path)
    keys = tower_keys(str(path), names)
    return form_of_names(names) != "transformers" and all(key == name for key, name in keys.items())
