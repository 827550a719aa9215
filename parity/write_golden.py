"""Write tests/golden/ anew: tiny models, image files and strings, and what open_clip makes of them (`make golden`)."""

from __future__ import annotations

import importlib.metadata
import json
import logging
import shutil
import tempfile
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
import transformers

from tests.golden.shrunk import SHRUNK

from . import images, random_tokenizers, torch_forms, transformers_models
from .random_models import save_random_model
from .reference import Reference, reference_pixels
from .samples import TEXTS
from .shrunk import timm_sizes
from .shrunk_timm import shrunk_vitamin
from .texts import NASTY
from .transformers_models import PROJECTED, SIGLIP, Case

GOLDEN = Path(__file__).parents[1] / "tests" / "golden"
PACKAGES = ("open_clip_torch", "torch", "torchvision", "pillow", "transformers", "tokenizers", "ftfy", "numpy")

# Name → tokenizer, top level, vision_cfg, text_cfg, preprocess_cfg, and how the weights are saved
# (for timm's, with the depths and widths that its name stands for here).
VISION = {"image_size": 32, "patch_size": 8, "width": 24, "head_width": 12, "layers": 2}
TEXT = {"context_length": 24, "vocab_size": 400, "width": 16, "heads": 2, "layers": 2}
MT5 = {"hf_tokenizer_name": "google/mt5-base"}
HALVES = {"mean": [0.5] * 3, "std": [0.5] * 3, "resize_mode": "squash"}
IMAGENET = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
SMALL = (
    "t5", {"quick_gelu": True}, {"width": 16, "head_width": 8, "layers": 1}, MT5 | {"layers": 1}, {},
)  # fmt: skip
MODELS: dict[str, tuple[str | None, dict[str, Any], dict[str, Any], dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    # As OpenAI's: the whole vocabulary of CLIP, hence a width of 8.
    "openai": (
        None,
        {"quick_gelu": True},
        {},
        {"context_length": 77, "vocab_size": 49408, "width": 8},
        {},
        {"dtype": torch.float16},
    ),
    "clipa": (
        "wordpiece",
        {},
        {"no_ln_pre": True, "pool_type": "avg", "final_ln_after_pool": True, "mlp_ratio": 4.9231},
        {"no_causal_mask": True, "pool_type": "last", "hf_tokenizer_name": "bert-base-uncased",
         "tokenizer_kwargs": {"strip_sep_token": True}},
        {**IMAGENET, "interpolation": "bilinear", "resize_mode": "squash"},
        {},
    ),
    "worldwide": (
        "xlm",
        {},
        {"ls_init_value": 1e-4},
        {"pool_type": "eos", "eos_id": 2, "hf_tokenizer_name": "facebook/xlm-v-base"},
        {"resize_mode": "squash"},
        {"dtype": torch.bfloat16},
    ),
    "mobileclip": (
        "t5",
        {"custom_text": True, "init_logit_bias": -10.0},
        {"act_kwargs": {"approximate": "tanh"}},
        {"no_causal_mask": True, "proj_bias": True, "act_kwargs": {"approximate": "tanh"},
         "hf_tokenizer_name": "google/mt5-base", "tokenizer_kwargs": {"clean": "canonicalize"}},
        {"mean": [0, 0, 0], "std": [1, 1, 1], "interpolation": "bilinear"},
        {},
    ),
    "mixed": (
        "t5",
        {},
        {"pool_type": "avg", "norm_kwargs": {"eps": 0.01}},
        {"pool_type": "first", "no_causal_mask": True, "norm_kwargs": {"eps": 0.01},
         "hf_tokenizer_name": "google/mt5-base"},
        {"resize_mode": "longest", "fill_color": 127},
        {"key_prefix": "module."},
    ),
    "vitamin": (
        "t5",
        {"custom_text": True},
        {"timm_model_name": "vitamin_small_224", "timm_pool": "", "timm_proj": "linear", "timm_drop_path": 0.1},
        {"hf_tokenizer_name": "google/mt5-base"},
        {},
        {"dtype": torch.float16},
    ),
    "coca": (
        "t5",
        {"custom_text": True,
         "multimodal_cfg": {"context_length": 24, "vocab_size": 400, "width": 8, "heads": 2, "layers": 1}},
        {"attentional_pool": True, "attn_pooler_heads": 4, "attn_pooler_queries": 5, "output_tokens": True},
        {"embed_cls": True, "output_tokens": True, "hf_tokenizer_name": "google/mt5-base"},
        {},
        {"dtype": torch.float16},
    ),
    "roberta": (
        "roberta",
        {"quick_gelu": True},
        {},
        {"hf_model_name": "tests/golden/models/roberta/encoder", "hf_tokenizer_name": "roberta-base",
         "hf_pooler_type": "mean_pooler"},
        {},
        {},
    ),
    "nllb": (
        "nllb",
        {},
        {},
        {"hf_model_name": "tests/golden/models/nllb/encoder",
         "hf_tokenizer_name": "facebook/nllb-200-distilled-600M", "hf_proj_type": "linear",
         "hf_pooler_type": "cls_pooler"},
        {},
        {},
    ),
    "modified_resnet": (
        "t5",
        {"quick_gelu": True},
        {"image_size": 64, "layers": [1, 2, 1, 1], "width": 3, "head_width": 32, "patch_size": None},
        MT5,
        {},
        {"dtype": torch.float16},
    ),
    "convnext": (
        "t5",
        {},
        {"timm_model_name": "convnext_large", "image_size": 64, "timm_pool": "", "timm_proj": "mlp",
         "timm_drop": 0.0, "timm_drop_path": 0.1},
        MT5,
        {},
        {"sizes": {"depths": (1, 2, 1, 1), "dims": (8, 12, 16, 24)}},
    ),
    "fastvit": (
        "t5",
        {"custom_text": True},
        {"timm_model_name": "fastvit_mci0", "image_size": 64, "timm_pool": "avg", "timm_proj": None},
        MT5 | {"no_causal_mask": True},
        {"mean": [0, 0, 0], "std": [1, 1, 1], "interpolation": "bilinear"},
        {"sizes": {"layers": (1, 2, 1, 1), "embed_dims": (4, 8, 16, 32)}, "dtype": torch.float16, "spread": 1.1},
    ),
    "siglip": (
        "t5",
        {"embed_dim": 24, "custom_text": True, "init_logit_bias": -10},
        {"timm_model_name": "vit_base_patch32_siglip_256", "image_size": 32, "timm_pool": "map", "timm_proj": "none"},
        MT5 | {"tokenizer_kwargs": {"clean": "canonicalize"}, "no_causal_mask": True, "proj_bias": True,
               "pool_type": "last", "norm_kwargs": {"eps": 1e-6}, "act_kwargs": {"approximate": "tanh"}},
        HALVES,
        {"sizes": {"img_size": 32, "patch_size": 8, "embed_dim": 24, "depth": 2}, "dtype": torch.float16},
    ),
    "eva02": (
        "t5",
        {"custom_text": True},
        {"timm_model_name": "eva02_base_patch16_clip_224", "image_size": 32, "timm_pool": "token", "timm_proj": None},
        MT5,
        {},
        {"sizes": {"img_size": 32, "patch_size": 8, "embed_dim": 48, "depth": 2, "mlp_ratio": 4 / 3},
         "dtype": torch.float16},
    ),
    "eva02_post_norm": (
        "t5",
        {"custom_text": True},
        {"timm_model_name": "eva02_enormous_patch14_clip_224", "image_size": 32, "timm_pool": "token",
         "timm_proj": None},
        MT5,
        {},
        {"sizes": {"img_size": 32, "patch_size": 8, "embed_dim": 32, "depth": 2, "mlp_ratio": 6},
         "dtype": torch.float16},
    ),
    "pe_core": (
        "t5",
        {"custom_text": True},
        {"timm_model_name": "vit_pe_core_tiny_patch16_384", "image_size": 32, "timm_pool": "map", "timm_proj": None},
        MT5,
        HALVES | {"interpolation": "bilinear"},
        {"sizes": {"img_size": 32, "patch_size": 8, "embed_dim": 24, "depth": 2}, "dtype": torch.bfloat16},
    ),
    "mobileclip_b": (
        "t5",
        {"custom_text": True},
        {"timm_model_name": "vit_base_mci_224", "image_size": 48, "timm_pool": "token", "timm_proj": None},
        MT5,
        {"mean": [0, 0, 0], "std": [1, 1, 1], "interpolation": "bilinear"},
        {"sizes": {"img_size": 48, "embed_dim": 24, "depth": 2}, "dtype": torch.float16},
    ),
    # The same kind of model in each of torch's forms.
    "training": (*SMALL, {"form": torch_forms.save_training_checkpoint}),
    "torchscript": (*SMALL, {"form": torch_forms.save_torchscript_without_places, "dtype": torch.float16}),
    "legacy": (*SMALL, {"form": torch_forms.save_legacy, "dtype": torch.bfloat16}),
    "sharded": (*SMALL, {"form": torch_forms.save_shards}),
}  # fmt: skip

# The encoders that text_cfg names by their path from this repository's root.
ENCODERS = {
    "roberta": transformers.RobertaConfig(
        vocab_size=400, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=40,
        max_position_embeddings=90, type_vocab_size=1, layer_norm_eps=1e-5,
    ),
    "nllb": transformers.M2M100Config(
        vocab_size=400, d_model=16, encoder_layers=2, encoder_attention_heads=2, encoder_ffn_dim=40, decoder_layers=1,
    ),
}  # fmt: skip

# In transformers' layout. Pillow resizes the images, so that the vectors are equal and not only close.
HALF: dict[str, Any] = {"dtype": torch.float16}
TRANSFORMERS: dict[str, tuple[Case, int]] = {  # with the most tokens of a text
    "clip": (Case(**HALF), transformers_models.LONGEST),
    "siglip": (
        Case(**SIGLIP, **HALF, text=PROJECTED, tokenizer=transformers_models.gemma_tokenizer),
        transformers_models.LONGEST,
    ),
    "chinese_clip": (Case("ChineseCLIP", **HALF, tokenizer=transformers_models.bert_tokenizer), 60),
}

PIXEL_SIZE = 24
PIXEL_MODES = (("shortest", "bicubic"), ("squash", "bilinear"), ("longest", "bicubic"))
FILL = 55


def main() -> None:
    logging.disable(logging.WARNING)  # that the models made here begin without weights
    for name in ("images", "models", "transformers"):
        shutil.rmtree(GOLDEN / name, ignore_errors=True)
    files = write_images(GOLDEN / "images")
    write_pixels(files)
    write_texts()
    for name in MODELS:
        with shrunk_vitamin(*SHRUNK[name], pixels=32) if name in SHRUNK else nullcontext():
            write_model(name, files)
    for name in TRANSFORMERS:
        write_transformers_model(name, files)
    versions = {name: importlib.metadata.version(name) for name in PACKAGES}
    (GOLDEN / "versions.json").write_text(json.dumps(versions, indent=1) + "\n")


def write_images(folder: Path) -> dict[str, bytes]:
    folder.mkdir(parents=True)
    files = images.files(45, 32)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return files


def write_pixels(files: dict[str, bytes]) -> None:
    """One array per mode, [images, size, size, 3] in the order of the files' names."""
    arrays = {
        f"{resize_mode} {interpolation}": np.stack(
            [reference_pixels(data, PIXEL_SIZE, resize_mode, interpolation, FILL) for data in files.values()]
        )
        for resize_mode, interpolation in PIXEL_MODES
    }
    np.savez_compressed(GOLDEN / "pixels.npz", **arrays)


def write_texts() -> None:
    """The strings, and the ids that CLIP's tokenizer makes of them."""
    (GOLDEN / "texts.json").write_text(json.dumps({"models": TEXTS, "tokenizer": NASTY}, indent=1) + "\n")
    arrays = {}
    for clean, context_length in (("lower", 77), ("whitespace", 32), ("canonicalize", 16)):
        tokenizer = open_clip.SimpleTokenizer(context_length=context_length, clean=clean)
        arrays[f"{clean} {context_length}"] = tokenizer(NASTY).numpy().astype(np.int32)
    np.savez_compressed(GOLDEN / "clip_ids.npz", **arrays)


def write_model(name: str, files: dict[str, bytes]) -> None:
    kind, top, vision, text, preprocess, saving = MODELS[name]
    timm_name = vision.get("timm_model_name")
    text = text if name in ENCODERS else TEXT | text
    vision_cfg = {"image_size": 32} | vision if timm_name else VISION | vision
    config = {"embed_dim": 20, **top, "vision_cfg": vision_cfg, "text_cfg": text}
    folder = GOLDEN / "models" / name
    if name in ENCODERS:
        ENCODERS[name].save_pretrained(folder / "encoder")
    saving = dict(saving)
    sizes, form = saving.pop("sizes", {}), saving.pop("form", None)
    with tempfile.TemporaryDirectory() as trained, timm_sizes(timm_name, **sizes) if sizes else nullcontext():
        make: Callable[[Path], Any] | None = getattr(random_tokenizers, kind) if kind else None
        tokenizer = make(Path(trained)) if make else None
        save_random_model(folder, config, preprocess_cfg=preprocess, tokenizer=tokenizer, **saving)
        reference = Reference(folder)
    if form is not None:
        (folder / "open_clip_model.safetensors").unlink()
        form(reference.model.to(saving.get("dtype")), folder)
        reference.model.float()
    np.savez_compressed(
        folder / "expected.npz",
        ids=reference.tokenizer(TEXTS).numpy().astype(np.int32),
        image_vectors=reference.embed_images(list(files.values())),
        text_vectors=reference.embed_texts(TEXTS),
    )


def write_transformers_model(name: str, files: dict[str, bytes]) -> None:
    case, longest = TRANSFORMERS[name]
    folder = transformers_models.save(case, GOLDEN / "transformers" / name)
    padded = {"padding": "max_length", "max_length": longest}
    reference = transformers_models.Reference(folder, "pil", **padded)
    np.savez_compressed(
        folder / "expected.npz",
        ids=reference.tokens(TEXTS)["input_ids"].numpy().astype(np.int32),
        image_vectors=reference.embed_images(list(files.values())),
        text_vectors=reference.embed_texts(TEXTS),
    )


if __name__ == "__main__":
    main()
