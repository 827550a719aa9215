"""A small checkpoint with random weights, written on the spot: for tests of everything but the vectors' values."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

CONFIG = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "patch_size": 16, "width": 32, "layers": 1, "head_width": 16},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
}


def tiny_weights(seed: int = 0) -> dict[str, np.ndarray]:
    """Tensors of class CLIP for CONFIG, by checkpoint key."""
    rng = np.random.default_rng(seed)

    def random(*shape: int) -> np.ndarray:
        return rng.normal(0, 0.3, shape).astype(np.float32)

    def block(prefix: str, width: int) -> dict[str, np.ndarray]:
        return {
            **{f"{prefix}{ln}.weight": 1 + random(width) for ln in ("ln_1", "ln_2")},
            **{f"{prefix}{ln}.bias": random(width) for ln in ("ln_1", "ln_2")},
            f"{prefix}attn.in_proj_weight": random(3 * width, width),
            f"{prefix}attn.in_proj_bias": random(3 * width),
            f"{prefix}attn.out_proj.weight": random(width, width),
            f"{prefix}attn.out_proj.bias": random(width),
            f"{prefix}mlp.c_fc.weight": random(4 * width, width),
            f"{prefix}mlp.c_fc.bias": random(4 * width),
            f"{prefix}mlp.c_proj.weight": random(width, 4 * width),
            f"{prefix}mlp.c_proj.bias": random(width),
        }

    vision, text = CONFIG["vision_cfg"], CONFIG["text_cfg"]
    v, t, dim = vision["width"], text["width"], CONFIG["embed_dim"]
    patches = (vision["image_size"] // vision["patch_size"]) ** 2
    return {
        "visual.conv1.weight": random(v, 3, vision["patch_size"], vision["patch_size"]),
        "visual.class_embedding": random(v),
        "visual.positional_embedding": random(patches + 1, v),
        **{f"visual.{ln}.weight": 1 + random(v) for ln in ("ln_pre", "ln_post")},
        **{f"visual.{ln}.bias": random(v) for ln in ("ln_pre", "ln_post")},
        **block("visual.transformer.resblocks.0.", v),
        "visual.proj": random(v, dim),
        "token_embedding.weight": random(text["vocab_size"], t),
        "positional_embedding": random(text["context_length"], t),
        **block("transformer.resblocks.0.", t),
        "ln_final.weight": 1 + random(t),
        "ln_final.bias": random(t),
        "text_projection": random(t, dim),
        "logit_scale": np.array(4.6052, np.float32),
    }


def write_tiny_checkpoint(folder: Path, seed: int = 0) -> Path:
    """An OpenCLIP folder, as MODEL_NAME=local-dir:folder takes it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": CONFIG, "preprocess_cfg": {}}))
    save_file(tiny_weights(seed), folder / "open_clip_model.safetensors")
    return folder
