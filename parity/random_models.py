"""Saved OpenCLIP models with random weights: a folder as it lies on the hub."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import open_clip
import torch
from safetensors.torch import save_file
from transformers import PreTrainedTokenizerBase

Config = dict[str, Any]

NORMS = (torch.nn.LayerNorm, torch.nn.BatchNorm2d)


def save_random_model(
    folder: Path,
    model_cfg: Config,
    *,
    preprocess_cfg: Config | None = None,
    tokenizer: PreTrainedTokenizerBase | None = None,
    dtype: torch.dtype = torch.float32,
    key_prefix: str = "",
    seed: int = 0,
) -> Path:
    """Writes open_clip_config.json, open_clip_model.safetensors and, where given, the tokenizer's files."""
    folder.mkdir(parents=True, exist_ok=True)
    config = {"model_cfg": model_cfg, "preprocess_cfg": preprocess_cfg or {}}
    (folder / "open_clip_config.json").write_text(json.dumps(config, indent=1) + "\n")
    if tokenizer is not None:
        tokenizer.save_pretrained(folder)
    model = open_clip.create_model(f"local-dir:{folder}", load_weights=False)
    randomise(model, seed)
    tensors = {
        key_prefix + key: (value.to(dtype) if value.is_floating_point() else value).contiguous()
        for key, value in model.state_dict().items()
    }
    save_file(tensors, folder / "open_clip_model.safetensors")
    return folder


@torch.no_grad()
def randomise(model: torch.nn.Module, seed: int) -> None:
    """No weight and no statistic stays at zero or one, where leaving it out would go unseen."""
    generator = torch.Generator().manual_seed(seed)
    norms = {f"{name}.weight" for name, module in model.named_modules() if isinstance(module, NORMS)}
    for name, parameter in model.named_parameters():
        if name in ("logit_scale", "logit_bias"):
            continue
        noise = torch.randn(parameter.shape, generator=generator)
        offset = 0.7 if name.endswith("gamma") else float(name in norms)
        parameter.copy_(offset + _scale(name, parameter) * noise)
    for name, statistic in model.named_buffers():
        if name.endswith("running_mean"):
            statistic.copy_(0.3 * torch.randn(statistic.shape, generator=generator))
        elif name.endswith("running_var"):
            # less than what pictures bring, so that their differences are not drowned
            statistic.copy_(0.02 + 0.1 * torch.rand(statistic.shape, generator=generator))


def _scale(name: str, parameter: torch.Tensor) -> float:
    """Activations keep a size of about one on their way through the towers."""
    if name.endswith("token_embedding.weight"):
        return 1.0
    if parameter.ndim == 1 or name.endswith(("positional_embedding", "pos_embed", "gamma")):
        return 0.3
    if name.endswith(("cls_token", "latent")):
        return 1.0
    if name.endswith("text_projection") or name.endswith("visual.proj"):
        return parameter.shape[0] ** -0.5  # used as x @ weight
    return parameter[0].numel() ** -0.5
