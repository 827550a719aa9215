"""Position tables, resized where the config asks for another image size or context length than the weights have.

Source: open_clip/model.py, resize_pos_embed and resize_text_pos_embed (3.3.0); timm/layers/pos_embed.py,
resample_abs_pos_embed (1.0.31). Both call torch's interpolate, whose weights are written here as a matrix:
ATen/native/cpu/UpSampleKernel.cpp (torch 2).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ..checkpoints.weights import Weights, as_float32
from ..errors import UnsupportedModel
from .layers import Node, constant

MOST_PATCHES = 65_536  # (2048 / 8)²; beyond any model, and a table of it would take gigabytes
CUBIC = -0.5  # torch's and Pillow's a for the antialiased cubic filter (Keys 1981)

Matrix = NDArray[np.float64]  # [new, old]


def image_positions(w: Weights, key: str, grid: int, width: int, *, tokens_before: int) -> Node:
    """The table at `key` for grid x grid patches: [..., tokens_before + grid², width].

    tokens_before: how many rows come before the patches', such as a class token's. They are kept as they are. Patches
    are resized by a bicubic filter with antialias.
    Raises CorruptCheckpoint where the table's patches are no square, UnsupportedModel for a grid beyond MOST_PATCHES.
    """
    table = w[key]
    wanted = (*table.shape[:-2], tokens_before + grid * grid, width)
    old_grid = math.isqrt(max(table.shape[-2] - tokens_before, 0)) if table.ndim >= 2 else 0
    is_square = old_grid > 0 and table.shape == (*wanted[:-2], tokens_before + old_grid**2, width)
    if table.shape == wanted or not is_square:
        return constant(w.tensor(key, *wanted))
    if grid * grid > MOST_PATCHES:
        raise UnsupportedModel(f"vision_cfg.image_size: it makes {grid} x {grid} patches, more than {MOST_PATCHES}")
    before, patches = np.split(as_float32(table).reshape(-1, width), [tokens_before])
    matrix = _antialiased_bicubic(old_grid, grid)
    square = patches.reshape(old_grid, old_grid, width).astype(np.float64)
    resized = np.einsum("ik,jl,klw->ijw", matrix, matrix, square, optimize=True).reshape(grid * grid, width)
    return constant(np.ascontiguousarray(np.concatenate([before, resized.astype(np.float32)]).reshape(wanted)))


def text_positions(w: Weights, key: str, length: int, width: int) -> Node:
    """The table at `key` for texts of `length` tokens: [length, width], resized linearly."""
    table = w[key]
    if table.shape == (length, width) or table.ndim != 2 or table.shape[1] != width or not len(table):
        return constant(w.tensor(key, length, width))
    return constant(np.ascontiguousarray(_linear(len(table), length) @ as_float32(table), np.float32))


def _antialiased_bicubic(old: int, new: int) -> Matrix:
    """Row i: the weights of the old positions in the new position i. When shrinking, the filter is as much wider."""
    scale = old / new
    widening = max(scale, 1.0)
    centers = (np.arange(new)[:, None] + 0.5) * scale
    x = np.abs((np.arange(old) + 0.5 - centers) / widening)
    near = (CUBIC + 2) * x**3 - (CUBIC + 3) * x**2 + 1
    far = CUBIC * (x**3 - 5 * x**2 + 8 * x - 4)
    weights = np.where(x < 1, near, np.where(x < 2, far, 0.0))
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), np.float64)


def _linear(old: int, new: int) -> Matrix:
    """Without antialias: each new position lies between two old ones, or beyond the first or the last."""
    places = np.clip((np.arange(new) + 0.5) * (old / new) - 0.5, 0, old - 1)
    return np.asarray(np.maximum(1 - np.abs(places[:, None] - np.arange(old)), 0), np.float64)
