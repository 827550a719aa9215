"""OpenCLIP's native text transformer: token ids → text embedding.

Source: open_clip/transformer.py, TextTransformer and text_global_pool (3.3.0); Radford et al. 2021, arXiv:2103.00020.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import openvino as ov
import openvino.opset13 as op
from numpy.typing import NDArray

from ..checkpoints.config import ModelConfig
from ..checkpoints.weights import Weights
from . import layers
from .flags import activation_of, norm_eps, one_of, read_flags
from .layers import Activation, Node, constant, integers
from .packed_texts import PackedTexts, pack
from .positions import text_positions
from .text_tower import ModelInputs, TextTower, TokenIds


@dataclass(frozen=True)
class TextConfig:
    """text_cfg of a native tower, with open_clip's defaults (open_clip/model.py, CLIPTextCfg)."""

    context_length: int = 77
    vocab_size: int = 49408
    width: int = 512
    heads: int = 8
    layers: int = 12
    mlp_ratio: float = 4.0
    ls_init_value: float | None = None
    no_causal_mask: bool = False
    pool_type: str = "argmax"
    pad_id: int = 0  # read by a tower with embed_cls alone, as the others do not mask padding
    eos_id: int = 2
    embed_cls: bool = False
    proj_type: str = "linear"
    proj_bias: bool = False
    act_kwargs: dict[str, Any] | None = None
    norm_kwargs: dict[str, Any] | None = None
    # read by the tokenizer
    hf_tokenizer_name: str | None = None
    tokenizer_kwargs: dict[str, Any] | None = None

    @property
    def is_packed(self) -> bool:
        """Whether tokens after the pooled one cannot change it, so that they need not be computed."""
        return not self.no_causal_mask and self.pool_type in ("argmax", "eos", "first")


def text_transformer(model: ModelConfig, w: Weights) -> TextTower:
    """`w` holds all keys of the checkpoint."""
    # Class CLIP keeps the text tower's tensors at the top, CustomTextCLIP below "text.".
    w = w.at("text." if "text.token_embedding.weight" in w else "")
    activation = activation_of(model.quick_gelu, model.text.get("act_kwargs"), "text_cfg")
    config = read_flags(model.text, TextConfig, "text_cfg")
    one_of(config.pool_type, ("argmax", "eos", "first", "last"), "text_cfg.pool_type")
    one_of(config.proj_type, ("linear", "none"), "text_cfg.proj_type")
    build = _tower_with_class_token if config.embed_cls else _packed_tower if config.is_packed else _whole_tower
    return build(config, w, model.embed_dim, activation)


def _packed_tower(config: TextConfig, w: Weights, embed_dim: int, activation: Activation) -> TextTower:
    """One of the text's own tokens is its embedding, and sees none after it."""
    packed = PackedTexts.parameters()
    x = _token_embeddings(packed.ids, config, w)  # [T, W]
    x = op.add(x, op.gather(_positions(config, w), packed.positions, op.constant(0)))
    x = _blocks(op.unsqueeze(x, integers(0)), config, w, activation, packed.mask(causal=True))  # [1, T, W]
    graph = packed.graph(_head(packed.pooled(x), config, w, embed_dim))
    columns = np.arange(config.context_length)

    def model_inputs(ids: TokenIds) -> ModelInputs:
        return pack(ids, columns <= pooled_positions(ids, config)[:, None], columns, "last")

    return TextTower(graph, config.context_length, model_inputs, lambda ids: pooled_positions(ids, config) + 1)


def _whole_tower(config: TextConfig, w: Weights, embed_dim: int, activation: Activation) -> TextTower:
    """One of the tokens is the text's embedding, and may see all others."""
    ids = layers.parameter("ids", [-1, config.context_length], np.int32)  # [B, T]
    pooled_at = layers.parameter("pooled_at", [-1], np.int32)  # [B]
    x = op.add(_token_embeddings(ids, config, w), _positions(config, w))  # [B, T, W]
    x = _blocks(x, config, w, activation)
    x = op.gather(x, pooled_at, op.constant(1), batch_dims=1)  # [B, W]
    graph = ov.Model([_head(x, config, w, embed_dim)], [ids, pooled_at], "text")

    def model_inputs(ids: TokenIds) -> ModelInputs:
        return {"ids": ids, "pooled_at": pooled_positions(ids, config)}

    return TextTower(graph, config.context_length, model_inputs)


def _tower_with_class_token(config: TextConfig, w: Weights, embed_dim: int, activation: Activation) -> TextTower:
    """CoCa's: a class token after all others becomes the text's embedding (Yu et al. 2022, arXiv:2205.01917)."""
    packed = PackedTexts.parameters()
    keys = layers.parameter("keys", [-1], np.bool_)  # [T]: which tokens may be seen
    # The class token has the last position of the table, however short the text.
    is_class = op.equal(packed.positions, op.constant(np.int32(config.context_length)))  # [T]
    class_token = constant(w.tensor("cls_emb", config.width))
    x = op.select(op.unsqueeze(is_class, integers(1)), class_token, _token_embeddings(packed.ids, config, w))  # [T, W]
    x = op.add(x, op.gather(_positions(config, w), packed.positions, op.constant(0)))
    mask = op.logical_and(packed.mask(causal=not config.no_causal_mask), op.unsqueeze(keys, integers(0, 1, 2)))
    x = _blocks(op.unsqueeze(x, integers(0)), config, w, activation, mask)  # [1, T, W]
    graph = packed.graph(_head(packed.pooled(x), config, w, embed_dim), keys)

    def counts(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """[B, context_length + 1]: no token sees padding, so it is not computed. The class token always is."""
        counted = mask.copy()
        counted[:, -1] = True
        return counted

    def model_inputs(ids: TokenIds) -> ModelInputs:
        mask = shifted_padding_mask(ids, config.pad_id)
        counted = counts(mask)
        with_class = np.concatenate([ids, np.zeros((len(ids), 1), np.int32)], 1)
        inputs = pack(with_class, counted, np.arange(config.context_length + 1), "last")
        return {**inputs, "keys": mask[counted]}

    return TextTower(
        graph,
        config.context_length,
        model_inputs,
        lambda ids: counts(shifted_padding_mask(ids, config.pad_id)).sum(axis=1),
    )


def shifted_padding_mask(ids: TokenIds, pad_id: int) -> NDArray[np.bool_]:
    """[B, context_length] → [B, context_length + 1]: false for padding, the class token last.

    open_clip's mask for CoCa's weights is one token late (TextTransformer._build_additive_mask without
    correct_cls_mask): the first entry is true, each other one says whether the token before it is no padding.
    """
    return np.concatenate([np.ones((len(ids), 1), np.bool_), ids != pad_id], 1)


def _token_embeddings(ids: Node, config: TextConfig, w: Weights) -> Node:
    return layers.embedding(ids, w.at("token_embedding."), config.vocab_size, config.width)


def _positions(config: TextConfig, w: Weights) -> Node:
    return text_positions(w, "positional_embedding", config.context_length + config.embed_cls, config.width)


def _blocks(x: Node, config: TextConfig, w: Weights, activation: Activation, mask: Node | None = None) -> Node:
    for i in range(config.layers):
        x = layers.residual_attention_block(
            x,
            w.at(f"transformer.resblocks.{i}."),
            width=config.width,
            heads=config.heads,
            mlp_width=int(config.width * config.mlp_ratio),
            activation=activation,
            eps=norm_eps(config.norm_kwargs, "text_cfg"),
            layer_scale=config.ls_init_value is not None,
            causal=mask is None and not config.no_causal_mask,
            mask=mask,
        )
    return x


def _head(x: Node, config: TextConfig, w: Weights, embed_dim: int) -> Node:
    """[B, W] → [B, E]. LayerNorm works token by token, so the token is picked before it."""
    x = layers.layer_norm(x, w.at("ln_final."), config.width, norm_eps(config.norm_kwargs, "text_cfg"))
    if config.proj_type == "none":
        return x
    if config.proj_bias:
        return layers.linear(x, w.at("text_projection."), config.width, embed_dim)
    return op.matmul(x, constant(w.tensor("text_projection", config.width, embed_dim)), False, False)


def pooled_positions(ids: NDArray[np.int32], config: TextConfig) -> NDArray[np.int32]:
    """ids [B, context_length] → [B]: the first end-of-text, the first or the last token."""
    if config.pool_type == "argmax":
        return np.asarray(ids.argmax(axis=1), np.int32)
    if config.pool_type == "eos":
        return np.asarray((ids == config.eos_id).argmax(axis=1), np.int32)
    return np.full(len(ids), 0 if config.pool_type == "first" else ids.shape[1] - 1, np.int32)
