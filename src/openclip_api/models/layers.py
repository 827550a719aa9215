"""The layers that the towers share, as small functions over OpenVINO nodes.

Shapes: B images or texts, T tokens, W width, E embedding dimension. Weights keep the type they
have in the checkpoint (float32, float16, bfloat16) and the memory it is mapped to.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import openvino as ov
import openvino.opset13 as op
from numpy.typing import NDArray

from ..checkpoints.weights import Weights
from ..errors import CorruptCheckpoint

Node: TypeAlias = Any  # ov.Node: the package has no types
Activation: TypeAlias = Callable[[Node], Node]

QUICK_GELU_BETA = 1.702  # open_clip/transformer.py, QuickGELU


def constant(tensor: NDArray[np.generic]) -> Node:
    """The tensor as a float32 node. A tensor in half precision is stored as it is, and the graph widens it."""
    if tensor.dtype == np.float32:
        return op.constant(tensor, shared_memory=True)
    if tensor.dtype == np.uint16:  # bfloat16, see Weights
        bits = ov.Tensor(tensor, ov.Shape(tensor.shape), ov.Type.bf16)
        return op.convert(op.constant(bits, shared_memory=True), "f32")
    return op.convert(op.constant(tensor, shared_memory=True), "f32")


def integers(*values: int) -> Node:
    return op.constant(np.array(values, np.int64))


def parameter(name: str, shape: list[int], dtype: type[np.generic]) -> Node:
    node = op.parameter(shape, dtype)
    node.output(0).set_names({name})
    return node


def reshape(x: Node, *shape: int) -> Node:
    """0 keeps a dimension, -1 infers one."""
    return op.reshape(x, integers(*shape), True)


def transpose(x: Node, *order: int) -> Node:
    return op.transpose(x, integers(*order))


def batch_size(x: Node) -> Node:
    """[1] int64."""
    return op.gather(op.shape_of(x), integers(0), integers(0))


def linear(x: Node, w: Weights, n_in: int, n_out: int, bias: bool = True) -> Node:
    """[..., n_in] → [..., n_out], with w.weight [n_out, n_in] and w.bias [n_out]."""
    y = op.matmul(x, constant(w.tensor("weight", n_out, n_in)), False, True)
    return op.add(y, constant(w.tensor("bias", n_out))) if bias else y


def linears(x: Node, w: Weights, n_in: int, n_out: int, count: int, bias: bool = True) -> list[Node]:
    """[..., n_in] → `count` times [..., n_out], with w.weight [count * n_out, n_in] and w.bias [count * n_out].

    The weight is split, not the result of one product, as that would copy the result.
    """
    weights = w.parts("weight", count, n_out, n_in)
    ys = [op.matmul(x, constant(weight), False, True) for weight in weights]
    if not bias:
        return ys
    biases = w.parts("bias", count, n_out)
    return [op.add(y, constant(part)) for y, part in zip(ys, biases, strict=True)]


def patch_embedding(pixels: Node, kernel: NDArray[np.generic], size: int) -> Node:
    """pixels [B, 3, size, size], kernel [W, 3, patch, patch] → [B, grid², W]; pixels beyond the last patch go.

    This is a convolution whose stride is the size of its kernel. Here it is a matrix product of all patches, which
    OpenVINO computes faster.
    """
    width, _, patch, _ = kernel.shape
    grid = size // patch
    if size % patch:
        pixels = op.slice(pixels, integers(0, 0), integers(grid * patch, grid * patch), integers(1, 1), integers(2, 3))
    x = reshape(pixels, 0, 3, grid, patch, grid, patch)
    x = reshape(transpose(x, 0, 2, 4, 1, 3, 5), 0, grid * grid, 3 * patch * patch)  # [B, grid², 3 patch²]
    return op.matmul(x, constant(kernel.reshape(width, -1)), False, True)


def layer_norm(x: Node, w: Weights, width: int, eps: float) -> Node:
    y = op.mvn(x, integers(-1), True, eps, "inside_sqrt")
    return op.add(op.multiply(y, constant(w.tensor("weight", width))), constant(w.tensor("bias", width)))


def embedding(ids: Node, w: Weights, count: int, width: int) -> Node:
    """int [...] → [..., W], the rows of w.weight [count, W]."""
    return op.gather(constant(w.tensor("weight", count, width)), ids, op.constant(0))


def quick_gelu(x: Node) -> Node:
    return op.swish(x, op.constant(np.float32(QUICK_GELU_BETA)))


def gelu(x: Node) -> Node:
    return op.gelu(x, "erf")


def gelu_tanh(x: Node) -> Node:
    return op.gelu(x, "tanh")


def unit_length(x: Node) -> Node:
    """[B, E] → [B, E]: torch.nn.functional.normalize."""
    return op.normalize_l2(x, integers(-1), 1e-24, "max")  # the square of torch's eps: OpenVINO adds it under the root


def split_heads(x: Node, heads: int, head_width: int) -> Node:
    return transpose(reshape(x, 0, -1, heads, head_width), 0, 2, 1, 3)  # [B, heads, T, head_width]


def merge_heads(x: Node) -> Node:
    return reshape(transpose(x, 0, 2, 1, 3), 0, 0, -1)  # [B, T, W]


def attention(q: Node, k: Node, v: Node, heads: int, *, causal: bool = False, mask: Node | None = None) -> Node:
    """[B, T, W], [B, S, W], [B, S, W] → [B, T, W]; mask: bool, true where a token may look, like [B, heads, T, S].

    Raises CorruptCheckpoint if the heads do not share W evenly: OpenVINO would cut other tokens then.
    """
    width = q.get_output_partial_shape(0)[2].get_length()
    if heads < 1 or width % heads:
        raise CorruptCheckpoint(f"the config's heads or head_width: {heads} heads cannot share a width of {width}")
    head_width = width // heads
    q, k, v = (split_heads(part, heads, head_width) for part in (q, k, v))
    return merge_heads(op.scaled_dot_product_attention(q, k, v, mask, causal=causal))


def self_attention(x: Node, w: Weights, width: int, heads: int, causal: bool, mask: Node | None = None) -> Node:
    """torch.nn.MultiheadAttention on itself: in_proj has the rows of the queries, keys and values."""
    q, k, v = linears(x, w.at("in_proj_"), width, width, 3)  # 3 × [B, T, W]
    attended = attention(q, k, v, heads, causal=causal, mask=mask)
    return linear(attended, w.at("out_proj."), width, width)


def mlp(x: Node, w: Weights, width: int, hidden: int, activation: Activation) -> Node:
    x = activation(linear(x, w.at("c_fc."), width, hidden))
    return linear(x, w.at("c_proj."), hidden, width)


def residual_attention_block(
    x: Node,
    w: Weights,
    *,
    width: int,
    heads: int,
    mlp_width: int,
    activation: Activation,
    eps: float,
    layer_scale: bool,
    causal: bool,
    mask: Node | None = None,
) -> Node:
    """open_clip/transformer.py, ResidualAttentionBlock (3.3.0)."""

    def scaled(y: Node, key: str) -> Node:
        return op.multiply(y, constant(w.tensor(key, width))) if layer_scale else y

    attended = self_attention(layer_norm(x, w.at("ln_1."), width, eps), w.at("attn."), width, heads, causal, mask)
    x = op.add(x, scaled(attended, "ls_1.gamma"))
    hidden = mlp(layer_norm(x, w.at("ln_2."), width, eps), w.at("mlp."), width, mlp_width, activation)
    return op.add(x, scaled(hidden, "ls_2.gamma"))
