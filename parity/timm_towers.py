"""Pairs with a vision transformer of timm at a fraction of their size: saved, and compared with open_clip."""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch

from openclip_api import load
from openclip_api.checkpoints import registry
from openclip_api.checkpoints.registry import Pretrained

from . import random_tokenizers
from .conftest import Agree
from .random_models import save_random_model
from .reference import Reference
from .samples import BATCH_OF_TEXTS, batch_of_images
from .shrunk import TEXT, timm_sizes

GRID = 4


def pairs(known: Callable[[str], bool]) -> dict[str, Pretrained]:
    """Of the table, those with a timm tower of a known name and a native text tower."""
    return {
        f"{pair.name}:{pair.tag}": pair
        for pair in registry.all_pretrained()
        if known(pair.config.timm_model_name or "") and pair.config.hf_model_name is None
    }


@dataclass(frozen=True)
class Shrunk:
    """A pair's own flags, timm's own function of that name; fewer and narrower layers, a smaller image."""

    pair: Pretrained
    heads: int
    head_width: int = 4
    grid: int = GRID

    @property
    def name(self) -> str:
        return self.pair.config.timm_model_name

    @property
    def width(self) -> int:
        return self.heads * self.head_width

    @property
    def pixels(self) -> int:
        """As many patches as asked for, and as many pixels left over as at full size."""
        patch = int(self.name.partition("patch")[2][:2] or 16) if "patch" in self.name else 16
        return self.grid * patch + self.pair.config.image_size % patch

    def entered(self) -> AbstractContextManager[None]:
        """Within, timm makes that name's tower at this size."""
        return timm_sizes(self.name, img_size=self.pixels, embed_dim=self.width, depth=2)

    def config(self) -> dict[str, Any]:
        config = copy.deepcopy(self.pair.config.as_written)
        config["vision_cfg"]["image_size"] = self.pixels
        config["embed_dim"] = self.width if config["vision_cfg"]["timm_proj"] == "none" else 48
        config["text_cfg"] |= TEXT
        if "hf_tokenizer_name" in config["text_cfg"]:
            config["text_cfg"]["vocab_size"] = random_tokenizers.VOCAB_SIZE
        return config

    def save(self, folder: Path, **saving: Any) -> Saved:
        tokenizer = None
        if self.pair.config.tokenizer.hf_tokenizer_name:
            tokenizer = random_tokenizers.t5(folder / "tokenizer")
        # 1.1: MobileCLIP-B's stem has BatchNorms, and more spread makes its vectors alike
        saving = {"spread": 1.1, **saving}
        with self.entered():
            save_random_model(folder, self.config(), preprocess_cfg=self.pair.preprocess, tokenizer=tokenizer, **saving)
            reference = Reference(folder)
        return Saved(folder, reference.embed_images(batch_of_images()), reference.embed_texts(BATCH_OF_TEXTS))

    def trunk(self) -> torch.nn.Module:
        with self.entered():
            options = {"num_classes": 0, "global_pool": self.pair.config.as_written["vision_cfg"]["timm_pool"]}
            return timm.create_model(self.name, **options)


@dataclass(frozen=True)
class Saved:
    folder: Path
    image_vectors: np.ndarray  # open_clip's, of the first of batch_of_images()
    text_vectors: np.ndarray  # open_clip's, of the first of BATCH_OF_TEXTS

    def assert_agrees(self, label: str, precision: str, agree: Agree) -> None:
        """All at once, and one by one."""
        images, texts = batch_of_images()[: len(self.image_vectors)], BATCH_OF_TEXTS[: len(self.text_vectors)]
        with closing(
            load(f"local-dir:{self.folder}", precision=precision, jpeg_scaling="off", image_reading="open_clip")
        ) as ours:
            agree(f"{label} / image", ours.embed_images(images), self.image_vectors)
            agree(f"{label} / text", ours.embed_texts(texts), self.text_vectors)
            singles = np.concatenate([ours.embed_images([data]) for data in images[:8]])
            agree(f"{label} / image", singles, self.image_vectors[:8])
            singles = np.concatenate([ours.embed_texts([text]) for text in texts[:8]])
            agree(f"{label} / text", singles, self.text_vectors[:8])


def save_full_size(pair: Pretrained, folder: Path) -> Saved:
    tokenizer = random_tokenizers.t5(folder / "tokenizer") if pair.config.tokenizer.hf_tokenizer_name else None
    save_random_model(folder, pair.config.as_written, preprocess_cfg=pair.preprocess, tokenizer=tokenizer)
    reference = Reference(folder)
    return Saved(folder, reference.embed_images(batch_of_images()[:8]), reference.embed_texts(BATCH_OF_TEXTS[:8]))


def layer_norm_eps(trunk: torch.nn.Module) -> set[float]:
    return {module.eps for module in trunk.modules() if isinstance(module, torch.nn.LayerNorm)}
