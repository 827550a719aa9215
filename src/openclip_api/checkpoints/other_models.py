"""What kind of model tensors of these names are, where they are no CLIP model's, and what would work."""

from __future__ import annotations

import re
from collections.abc import Collection

from ..errors import UnsupportedModel

ADAPTER = re.compile(r"lora_[ab]\b|lora_(up|down)\b|\.lora_magnitude", re.IGNORECASE)
DIFFUSION = re.compile(r"^(unet\.|model\.diffusion_model\.|down_blocks\.|first_stage_model\.|double_blocks\.)")


def refuse_other_models(source: str, keys: Collection[str]) -> None:
    """Raises UnsupportedModel for an adapter and for a diffusion model."""
    if any(ADAPTER.search(key) for key in keys):
        raise UnsupportedModel(
            f"{source} is a LoRA adapter, a change to another model: merge it into that model first "
            "(peft: merge_and_unload) and save the result"
        )
    if any(DIFFUSION.search(key) for key in keys):
        raise UnsupportedModel(f"{source} is a diffusion model, which makes images: it has no image tower")
