"""A torch file's tensors → arrays: views of the mapped file, each checked against its storage."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ...errors import CorruptCheckpoint, UnsupportedModel
from ..stored import FULL, Arrays
from ..weights import as_float32
from .files import TYPES, TorchFile, last_word
from .odd_tensors import odd_kind
from .pickled_values import Instance, Tensor

MOST_AXES = 16
SAVE_PLAIN = "save the whole model in full precision, with its parameters as plain tensors"
LARGEST = 1 << 62  # of a size, a step or an offset


def arrays(file: TorchFile, tensors: Mapping[str, Tensor | Instance]) -> Arrays:
    """float32, float16, or uint16 for bfloat16, by the tensors' names. float64 becomes float32.

    An array is a view of the file where its numbers lie in order. Others are copied, and all copies together have no
    more bytes than the file: a small file with many views of one storage costs no more memory than another.

    Raises CorruptCheckpoint, and UnsupportedModel for a kind of tensor that is not read, with the tensor's name.
    """
    size = file.path.stat().st_size
    # Copy-on-write: OpenVINO asks for writable memory and never writes.
    data = np.memmap(file.path, dtype=np.uint8, mode="c")
    left = size
    made: Arrays = {}
    for name, tensor in tensors.items():
        if isinstance(tensor, Instance):
            what = f"is not plain (it is {odd_kind(tensor)})"
            raise UnsupportedModel(f"{file.path}: tensor {name!r} {what}: {SAVE_PLAIN}")
        try:
            view = _view(file, data, tensor)
            array = as_float32(view) if view.dtype == np.float64 else np.require(view, requirements=("C", "A"))
        except ValueError as error:
            raise CorruptCheckpoint(f"{file.path}: tensor {name!r} {error}") from error
        if not np.may_share_memory(array, data):
            left -= array.nbytes
        if left < 0:
            raise CorruptCheckpoint(f"{file.path}: its tensors are views that take more memory than the file has bytes")
        made[name] = array
    return made


def _view(file: TorchFile, data: NDArray[np.uint8], tensor: Tensor) -> NDArray[np.generic]:
    """Raises ValueError: the end of a sentence that begins with the tensor's name."""
    storage = tensor.storage
    kind = last_word(tensor.dtype or storage.kind)
    dtype = TYPES.get(kind)
    if dtype is None:
        kind = kind.removesuffix("Storage")[:40]
        raise ValueError(f"has type {kind}, expected one of Float, Half, BFloat16, Double; {FULL}")
    place = file.storages.get(storage.key)
    if place is None:
        raise ValueError("has a storage that the file does not hold")
    shape, stride = _numbers(tensor.shape), _numbers(tensor.stride)
    (offset,) = _numbers((tensor.offset,))
    (start,) = _numbers((storage.start,))
    (count,) = _numbers((storage.count,))
    if last_word(storage.kind) == "UntypedStorage":  # counted in bytes
        count //= dtype.itemsize
    if (start + count) * dtype.itemsize > place.size:
        raise ValueError(f"has a storage of {count} numbers, more than the file holds")
    if len(shape) != len(stride) or len(shape) > MOST_AXES:
        raise ValueError(f"has {len(shape)} sizes and {len(stride)} steps")
    numbers = math.prod(shape)
    if numbers == 0:
        return np.zeros(shape, dtype)
    last = offset + sum((length - 1) * step for length, step in zip(shape, stride, strict=True))
    if numbers > count or last >= count:
        raise ValueError(f"reaches beyond its storage, which has {count} numbers")
    return np.ndarray(
        shape,
        dtype,
        data,
        place.start + (start + offset) * dtype.itemsize,
        tuple(step * dtype.itemsize if length > 1 else 0 for length, step in zip(shape, stride, strict=True)),
    )


def _numbers(values: object) -> tuple[int, ...]:
    """Raises ValueError unless all are integers that a file can mean."""
    if not isinstance(values, tuple):
        raise ValueError("has no sizes")  # noqa: TRY004
    if any(type(value) is not int or not 0 <= value < LARGEST for value in values[: MOST_AXES + 1]):
        raise ValueError("has a size, a step or an offset that is no number from 0")
    return values
