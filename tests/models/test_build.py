"""What a config asks for is built, or refused by name; tensors fit it exactly, or are refused by name."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from openclip_api.engines.openvino import OpenVinoEngine
from openclip_api.errors import CorruptCheckpoint, UnsupportedModel

from ..support.model_folders import CONFIG, TENSORS, built, changed

REFUSED = [
    ("some_future_flag", True),
    ("vision_cfg.attentional_pool", "parallel"),
    ("vision_cfg.pool_type", "none"),
    ("vision_cfg.pos_embed_type", "rope"),
    ("vision_cfg.block_type", "custom"),
    ("vision_cfg.qk_norm", True),
    ("vision_cfg.scaled_cosine_attn", True),
    ("vision_cfg.scale_heads", True),
    ("vision_cfg.scale_attn_inner", True),
    ("vision_cfg.scale_attn", True),
    ("vision_cfg.scale_fc", True),
    ("vision_cfg.some_future_flag", 1),
    ("vision_cfg.norm_kwargs", {"elementwise_affine": False}),
    ("vision_cfg.act_kwargs", {"inplace": True}),
    ("vision_cfg.act_kwargs", {"approximate": "sigmoid"}),
    ("text_cfg.hf_model_name", "distilbert-base-uncased"),
    ("text_cfg.pool_type", "none"),
    ("text_cfg.proj_type", "mlp"),
    ("text_cfg.final_ln_after_pool", True),
    ("text_cfg.qk_norm", True),
    ("text_cfg.some_future_flag", "on"),
    ("text_cfg.norm_kwargs", {"bias": False}),
    ("text_cfg.act_kwargs", {"approximate": "sigmoid"}),
]


@pytest.mark.parametrize(("where", "value"), REFUSED)
def test_flags_that_are_not_built_are_refused_by_name(where: str, value: Any) -> None:
    with pytest.raises(UnsupportedModel, match=where.rpartition(".")[2]):
        built(changed(where, value))


def test_quick_gelu_takes_no_arguments() -> None:
    config = changed("vision_cfg.act_kwargs", {"approximate": "tanh"}) | {"quick_gelu": True}
    with pytest.raises(UnsupportedModel, match="act_kwargs"):
        built(config)


@pytest.mark.parametrize(
    ("where", "value"),
    [("vision_cfg.patch_dropout", 0.5), ("vision_cfg.qk_norm", False), ("text_cfg.embed_cls", False),
     ("vision_cfg.attentional_pool", None), ("text_cfg.pad_id", 7), ("custom_text", True), ("init_logit_bias", -10)],
)  # fmt: skip
def test_flags_without_effect_are_accepted(where: str, value: Any) -> None:
    built(changed(where, value))


def test_facts_of_the_towers() -> None:
    towers = built()
    assert towers.text.context_length == CONFIG["text_cfg"]["context_length"]
    assert str(towers.image.input(0).partial_shape) == "[?,32,32,3]"


def test_layers_beyond_the_config_are_refused() -> None:
    for section, tower in (("vision_cfg", "visual.transformer"), ("text_cfg", "transformer")):
        with pytest.raises(CorruptCheckpoint, match=f"'{tower}.resblocks.1"):
            built(changed(f"{section}.layers", 1))
        with pytest.raises(CorruptCheckpoint, match=f"'{tower}.resblocks.2"):
            built(changed(f"{section}.layers", 3))


def test_logit_scale_may_be_missing() -> None:
    built(tensors={name: tensor for name, tensor in TENSORS.items() if name != "logit_scale"})


def test_text_keys_may_lie_below_text() -> None:
    """Class CustomTextCLIP's names for the same tensors give the same vectors."""
    named = {f"text.{key}" if not key.startswith(("visual.", "logit")) else key: TENSORS[key] for key in TENSORS}
    ids = np.random.RandomState(0).randint(0, 400, (5, CONFIG["text_cfg"]["context_length"])).astype(np.int32)
    flat = OpenVinoEngine(built(), "fp32").encode_texts(ids)
    below = OpenVinoEngine(built(tensors=named), "fp32").encode_texts(ids)
    np.testing.assert_array_equal(flat, below)


@pytest.mark.parametrize(
    ("where", "value"),
    [
        ("vision_cfg.head_width", 0),
        ("vision_cfg.layers", "2"),
        ("vision_cfg.width", "64"),
        ("vision_cfg.patch_size", [8, 8]),
        ("vision_cfg.norm_kwargs", "eps"),
        ("text_cfg.heads", 0),
        ("text_cfg.heads", 7),
        ("text_cfg.heads", 3),
        ("embed_dim", "many"),
        ("vision_cfg.head_width", 10**9),
        ("vision_cfg.image_size", 10**6),
        ("vision_cfg.image_size", [[32], [32]]),
        ("vision_cfg.mlp_ratio", float("nan")),
        ("vision_cfg.mlp_ratio", [4]),
        ("vision_cfg.patch_size", 0),
        ("vision_cfg.norm_kwargs", {"eps": []}),
        ("vision_cfg.no_ln_pre", "false"),
        ("vision_cfg.timm_model_name", ["vit"]),
        ("text_cfg.width", True),
        ("text_cfg.context_length", 0),
        ("text_cfg.context_length", 10**9),
        ("text_cfg.vocab_size", -1),
        ("text_cfg.pad_id", 2**64),
        ("text_cfg.hf_model_name", "x" * 100_000),
        ("text_cfg.pool_type", "x" * 100_000),
        ("quick_gelu", "false"),
        ("multimodal_cfg", [1]),
    ],
)
def test_a_config_that_makes_no_model_is_refused_in_one_line(where: str, value: Any) -> None:
    with pytest.raises((UnsupportedModel, CorruptCheckpoint)) as caught:
        built(changed(where, value))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300
    assert where.rpartition(".")[2] in str(caught.value)
