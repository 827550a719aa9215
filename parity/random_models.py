"""Saved OpenCLIP models with random weights: a folder as it lies on the hub."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
from open_clip.utils import to_2tuple
from PIL import Image
from safetensors.torch import save_file
from transformers import PreTrainedTokenizerBase

from .samples import batch_of_images

Config = dict[str, Any]

NORMS = (torch.nn.LayerNorm, torch.nn.BatchNorm2d)
POSITIONS = ("positional_embedding", "pos_embed", "position_embeddings.weight", "token_type_embeddings.weight")
HUGGING_FACE = re.compile(r"text\.transformer\.(embeddings|encoder|layer)")


def save_random_model(
    folder: Path,
    model_cfg: Config,
    *,
    preprocess_cfg: Config | None = None,
    tokenizer: PreTrainedTokenizerBase | None = None,
    dtype: torch.dtype = torch.float32,
    key_prefix: str = "",
    seed: int = 0,
    spread: float = 1.5,
) -> Path:
    """Writes open_clip_config.json, open_clip_model.safetensors and, where given, the tokenizer's files."""
    folder.mkdir(parents=True, exist_ok=True)
    config = {"model_cfg": model_cfg, "preprocess_cfg": preprocess_cfg or {}}
    (folder / "open_clip_config.json").write_text(json.dumps(config, indent=1) + "\n")
    if tokenizer is not None:
        tokenizer.save_pretrained(folder)
    model = open_clip.create_model(f"local-dir:{folder}", load_weights=False, pretrained_text=False)
    randomise(model, seed, spread)
    tensors = {
        key_prefix + key: (value.to(dtype) if value.is_floating_point() else value).contiguous()
        for key, value in model.state_dict().items()
    }
    save_file(tensors, folder / "open_clip_model.safetensors")
    return folder


@torch.no_grad()
def randomise(model: torch.nn.Module, seed: int, spread: float = 1.5) -> None:
    """No weight and no statistic stays at zero or one, where leaving it out would go unseen."""
    generator = torch.Generator().manual_seed(seed)
    norms = {f"{name}.weight" for name, module in model.named_modules() if isinstance(module, NORMS)}
    for name, parameter in model.named_parameters():
        if name in ("logit_scale", "logit_bias"):
            continue
        noise = torch.randn(parameter.shape, generator=generator)
        offset = 0.7 if name.endswith("gamma") else float(name in norms)
        parameter.copy_(offset + _scale(name, parameter) * noise)
    _measure(model, spread)


def _measure(model: torch.nn.Module, spread: float) -> None:
    """BatchNorm's statistics are those of pictures: with invented ones, deep towers drown or blow up what they see.

    A variance that is `spread` times too large keeps some of what all pictures share, as a trained tower does: the
    more of it, the more the vectors are alike; the less, the more the rounding of bfloat16 grows from layer to layer.
    """
    norms = [module for module in model.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.train()
        norm.momentum = None  # the mean of all batches, of which there is one
    if norms:
        height, width = to_2tuple(model.visual.image_size)
        pictures = [Image.open(io.BytesIO(data)).convert("RGB").resize((width, height)) for data in batch_of_images()]
        model.visual((torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2) / 255 - 0.45) / 0.27)
    for norm in norms:
        norm.eval()
        norm.running_var *= spread


def _scale(name: str, parameter: torch.Tensor) -> float:
    """Activations keep a size of about one on their way through the towers."""
    if name.endswith(("token_embedding.weight", "word_embeddings.weight", "cls_token", "latent")):
        return 1.0
    if HUGGING_FACE.match(name) and parameter.ndim == 1:
        return 0.1  # what all tokens share grows from layer to layer, and a mean over tokens keeps little else
    if parameter.ndim == 1 or name.endswith(POSITIONS) or name.endswith("gamma"):
        return 0.3
    if name.endswith("text_projection") or name.endswith("visual.proj"):
        return parameter.shape[0] ** -0.5  # used as x @ weight
    return parameter[0].numel() ** -0.5
