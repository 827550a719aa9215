"""BiomedCLIP's towers against open_clip: timm's plain ViT with open_clip's projection behind it, and BERT."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import transformers

from openclip_api.models.timm_vit import VARIANTS

from . import random_tokenizers
from .conftest import Agree
from .random_models import save_random_model
from .reference import Reference
from .samples import BATCH_OF_TEXTS, batch_of_images
from .shrunk import timm_sizes
from .timm_towers import Saved, layer_norm_eps
from .transformers_models import BERT as SMALL
from .transformers_models import vocabulary_files

NAME = "vit_base_patch16_224"
# As microsoft/BiomedCLIP-PubMedBERT_256-vit_base_patch16_224 has it, but for the encoder's sizes.
VISION: dict[str, Any] = {"timm_model_name": NAME, "timm_model_pretrained": False, "timm_pool": "",
                          "timm_proj": "linear", "image_size": 64}  # fmt: skip
TEXT: dict[str, Any] = {"hf_tokenizer_name": "microsoft/BiomedNLP-BiomedBERT-base-uncased-abstract",
                        "hf_proj_type": "mlp", "hf_pooler_type": "cls_last_hidden_state_pooler",
                        "context_length": 60}  # fmt: skip


def test_the_variant_is_timm_s() -> None:
    trunk, variant = timm.create_model(NAME, num_classes=0), VARIANTS[NAME]
    assert {block.attn.num_heads for block in trunk.blocks} == {variant.heads}
    assert {type(block.mlp.act) for block in trunk.blocks} == {torch.nn.GELU}
    assert layer_norm_eps(trunk) == {variant.eps}
    assert trunk.global_pool == variant.pool
    assert isinstance(trunk.norm_pre, torch.nn.Identity)


@pytest.mark.parametrize("vision", [{}, {"timm_proj": "mlp"}, {"timm_pool": "token", "timm_proj_bias": True}])
@pytest.mark.parametrize("older_tokenizer", [False, True])
def test_vectors(vision: dict[str, Any], older_tokenizer: bool, tmp_path: Path, precision: str, agree: Agree) -> None:
    encoder = tmp_path / "encoder"
    transformers.BertConfig(**SMALL | {"pad_token_id": 0}).save_pretrained(encoder)
    config = {
        "embed_dim": 40,
        "vision_cfg": VISION | vision,
        "text_cfg": TEXT | {"hf_model_name": str(encoder)},
    }
    folder = tmp_path / "model"
    with timm_sizes(NAME, img_size=64, embed_dim=48, depth=2):
        save_random_model(folder, config, tokenizer=random_tokenizers.wordpiece(tmp_path / "tokenizer"))
        if older_tokenizer:
            vocabulary_files(folder)
            (folder / "config.json").write_text('{"model_type": "bert"}')  # whose tokenizer transformers is to take
        reference = Reference(folder)
    saved = Saved(folder, reference.embed_images(batch_of_images()), reference.embed_texts(BATCH_OF_TEXTS))
    saved.assert_agrees(f"BiomedCLIP {vision}", precision, agree)
