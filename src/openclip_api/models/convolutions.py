"""Layers over feature maps [B, C, H, W] that the convolutional towers share.

A convolution and the BatchNorm after it are one convolution. They are folded in float64 while the graph is built, so
that only the last step to float32 rounds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import openvino.opset13 as op
from numpy.typing import NDArray

from ..checkpoints.weights import Weights, as_float32
from .layers import Node, constant, integers, layer_norm, reshape, transpose

BATCH_NORM_EPS = 1e-5  # torch.nn.BatchNorm2d


@dataclass(frozen=True)
class Kernel:
    """A convolution's numbers, float64: weight [n_out, n_in / groups, k, k], bias [n_out].

    Kernels of one size add up to the convolution that gives the sum of theirs.
    """

    weight: NDArray[np.float64]
    bias: NDArray[np.float64]

    def __add__(self, other: Kernel) -> Kernel:
        return Kernel(self.weight + other.weight, self.bias + other.bias)

    def __sub__(self, other: Kernel) -> Kernel:
        return Kernel(self.weight - other.weight, self.bias - other.bias)

    def scaled(self, scale: NDArray[np.float64], shift: NDArray[np.float64] | float = 0.0) -> Kernel:
        """Followed by y * scale + shift, channel by channel."""
        return Kernel(self.weight * scale[:, None, None, None], self.bias * scale + shift)

    def padded(self, size: int) -> Kernel:
        """The same convolution with a size x size kernel that is zero around the old one."""
        border = (size - self.weight.shape[-1]) // 2
        return Kernel(np.pad(self.weight, ((0, 0), (0, 0), (border, border), (border, border))), self.bias)


def identity(channels: int, groups: int, size: int) -> Kernel:
    """The kernel that changes nothing."""
    weight = np.zeros((channels, channels // groups, size, size))
    weight[range(channels), [i % (channels // groups) for i in range(channels)], size // 2, size // 2] = 1
    return Kernel(weight, np.zeros(channels))


def batch_norm(w: Weights, channels: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """torch.nn.BatchNorm2d at inference, as (scale, shift)."""
    weight, bias, mean, variance = (
        float64(w, key, channels) for key in ("weight", "bias", "running_mean", "running_var")
    )
    scale = weight / np.sqrt(variance + BATCH_NORM_EPS)
    return scale, bias - mean * scale


def conv_bn(conv: Weights, bn: Weights, n_in: int, n_out: int, size: int, groups: int = 1) -> Kernel:
    """A convolution without bias and the BatchNorm after it."""
    return Kernel(float64(conv, "weight", n_out, n_in // groups, size, size), np.zeros(n_out)).scaled(
        *batch_norm(bn, n_out)
    )


def float64(w: Weights, key: str, *shape: int) -> NDArray[np.float64]:
    return as_float32(w.tensor(key, *shape)).astype(np.float64)


def apply(x: Node, kernel: Kernel, stride: int = 1, groups: int = 1) -> Node:
    """With the padding that keeps the size of the map at stride 1: kernels are odd."""
    weight = kernel.weight.astype(np.float32)
    y = convolve(x, weight, stride, weight.shape[-1] // 2, groups)
    return op.add(y, op.constant(kernel.bias.astype(np.float32)[None, :, None, None]))  # NNCF asks for all four axes


def conv(
    x: Node, w: Weights, n_in: int, n_out: int, size: int, *, stride: int = 1, padding: int = 0, groups: int = 1
) -> Node:
    """torch.nn.Conv2d with bias: [B, n_in, H, W] → [B, n_out, H', W']."""
    y = convolve(x, w.tensor("weight", n_out, n_in // groups, size, size), stride, padding, groups)
    return op.add(y, reshape(constant(w.tensor("bias", n_out)), 1, n_out, 1, 1))


def convolve(x: Node, weight: NDArray[np.generic], stride: int, padding: int, groups: int) -> Node:
    strides, pads, dilations = [stride] * 2, [padding] * 2, [1, 1]
    if groups == 1:
        return op.convolution(x, constant(weight), strides, pads, pads, dilations)
    grouped = weight.reshape(groups, weight.shape[0] // groups, *weight.shape[1:])
    return op.group_convolution(x, constant(grouped), strides, pads, pads, dilations)


def layer_norm_2d(x: Node, w: Weights, channels: int, eps: float) -> Node:
    """timm's LayerNorm2d: over the channels of [B, C, H, W]."""
    return transpose(layer_norm(transpose(x, 0, 2, 3, 1), w, channels, eps), 0, 3, 1, 2)


def to_tokens(x: Node) -> Node:
    """[B, C, H, W] → [B, H * W, C]."""
    return transpose(reshape(x, 0, 0, -1), 0, 2, 1)


def to_map(tokens: Node, like: Node) -> Node:
    """[B, H * W, C] → [B, C, H, W], of the height and width of `like`."""
    height, width = (like.get_output_partial_shape(0)[axis].get_length() for axis in (2, 3))
    return reshape(transpose(tokens, 0, 2, 1), 0, 0, height, width)


def mean_over_map(x: Node) -> Node:
    """[B, C, H, W] → [B, C]."""
    return op.reduce_mean(x, integers(2, 3), False)
