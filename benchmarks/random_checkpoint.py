"""ViT-B-32 at its full size with random weights, as an OpenCLIP folder. Speed depends on shapes alone."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

CONFIG = {
    "embed_dim": 512,
    "vision_cfg": {"image_size": 224, "layers": 12, "width": 768, "patch_size": 32},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 512, "heads": 8, "layers": 12},
}


def write_random_checkpoint(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": CONFIG, "preprocess_cfg": {}}))
    save_file(random_tensors(), folder / "open_clip_model.safetensors")
    return folder


def random_tensors() -> dict[str, NDArray[np.float32]]:
    random = np.random.default_rng(0)

    def normal(*shape: int, scale: float | None = None) -> NDArray[np.float32]:
        """Of a size that keeps activations at about one."""
        size = shape[-1] ** -0.5 if scale is None else scale
        return random.standard_normal(shape, np.float32) * np.float32(size)

    def norm(key: str, width: int) -> dict[str, NDArray[np.float32]]:
        return {f"{key}.weight": 1 + normal(width, scale=0.3), f"{key}.bias": normal(width, scale=0.3)}

    def linear(key: str, n_in: int, n_out: int, weight: str = ".weight", bias: str = ".bias") -> dict[str, NDArray]:
        return {f"{key}{weight}": normal(n_out, n_in), f"{key}{bias}": normal(n_out, scale=0.3)}

    def block(key: str, width: int) -> dict[str, NDArray[np.float32]]:
        return {
            **norm(f"{key}.ln_1", width),
            **linear(f"{key}.attn.in_proj", width, 3 * width, "_weight", "_bias"),
            **linear(f"{key}.attn.out_proj", width, width),
            **norm(f"{key}.ln_2", width),
            **linear(f"{key}.mlp.c_fc", width, 4 * width),
            **linear(f"{key}.mlp.c_proj", 4 * width, width),
        }

    tensors = {
        "visual.conv1.weight": normal(768, 3, 32, 32, scale=3072**-0.5),
        "visual.class_embedding": normal(768, scale=0.3),
        "visual.positional_embedding": normal(50, 768, scale=0.3),
        **norm("visual.ln_pre", 768),
        **norm("visual.ln_post", 768),
        "visual.proj": normal(768, 512),
        "token_embedding.weight": normal(49408, 512, scale=1),
        "positional_embedding": normal(77, 512, scale=0.3),
        **norm("ln_final", 512),
        "text_projection": normal(512, 512),
        "logit_scale": np.array(4.6052, np.float32),
    }
    for layer in range(12):
        tensors |= block(f"visual.transformer.resblocks.{layer}", 768) | block(f"transformer.resblocks.{layer}", 512)
    return tensors
