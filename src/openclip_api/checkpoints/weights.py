"""A checkpoint's tensors by name, whatever the form of the file they come from."""

from __future__ import annotations

import itertools
import mmap
from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from ..errors import CorruptCheckpoint

# Numbers that lie beside the towers' tensors. They scale cosines and take no part in a forward pass.
LOGITS = {"logit_scale", "logit_bias"}

# Between a key and a number: tensors that transformers keeps apart and open_clip in one. No key has it.
PART = "/"


class MissingTensor(CorruptCheckpoint):
    """The checkpoint has not all tensors that its config asks for."""


class Weights:
    """Tensors by checkpoint key, below a prefix. It remembers which were used.

    `weights["conv1.weight"]` gives the array. `weights.at("visual.")` is a view of the keys below that prefix:
    it shares the memory and the record of use. Arrays are float32, float16, or uint16 for bfloat16.
    """

    def __init__(
        self,
        tensors: Mapping[str, NDArray[np.generic]],
        source: str = "the checkpoint",
        prefix: str = "",
        used: set[str] | None = None,
    ) -> None:
        """source: how errors call the file that the tensors are from."""
        self._tensors = tensors
        self.source = source
        self._prefix = prefix
        self._used = used if used is not None else set()

    def at(self, prefix: str) -> Weights:
        return Weights(self._tensors, self.source, self._prefix + prefix, self._used)

    def names(self) -> list[str]:
        """The keys below the prefix."""
        return [name.removeprefix(self._prefix) for name in self._tensors if name.startswith(self._prefix)]

    def __contains__(self, key: str) -> bool:
        return self._prefix + key in self._tensors

    def __getitem__(self, key: str) -> NDArray[np.generic]:
        """Raises MissingTensor."""
        name = self._prefix + key
        if name not in self._tensors:
            raise MissingTensor(f"{self.source} has no tensor {name!r}, which its config asks for")
        self._used.add(name)
        return self._tensors[name]

    def tensor(self, key: str, *shape: int) -> NDArray[np.generic]:
        """The tensor at `key`. Raises MissingTensor, and CorruptCheckpoint where it has another shape."""
        tensor = self[key]
        if tensor.shape != shape:
            raise CorruptCheckpoint(
                f"{self.source}: tensor {self._prefix + key!r} has shape {list(tensor.shape)}, "
                f"its config asks for {list(shape)}"
            )
        return tensor

    def parts(self, key: str, count: int, *shape: int) -> list[NDArray[np.generic]]:
        """`count` tensors of this shape, which the checkpoint has as the rows of one, or apart."""
        if f"{key}{PART}0" in self:
            return [self.tensor(f"{key}{PART}{number}", *shape) for number in range(count)]
        return np.split(self.tensor(key, count * shape[0], *shape[1:]), count)

    def count(self, keys: str) -> int:
        """How many layers there are: "blocks.{}.norm.weight" counts up to the first number without such a key."""
        return next(i for i in itertools.count() if keys.format(i) not in self)

    def scalar(self, key: str) -> float | None:
        """A one-number tensor such as logit_scale, or None where there is none."""
        if key not in self:
            return None
        number = as_float32(self[key]).reshape(-1)
        if len(number) != 1 or not np.isfinite(number[0]):
            raise CorruptCheckpoint(f"{self.source}: tensor {self._prefix + key!r} is not one finite number")
        return float(number[0])

    def tensors(self) -> Mapping[str, NDArray[np.generic]]:
        """All of them by their whole keys, whether used or not."""
        return self._tensors

    def release(self) -> None:
        """Give the files' pages back to the system, as a compiled graph has its own copy of nearly all tensors.

        What is read again (rows of the token table) comes from the file, through the system's cache.
        """
        if not hasattr(mmap, "MADV_DONTNEED"):
            return
        mappings = {id(base): base for tensor in self._tensors.values() if (base := _mapping(tensor)) is not None}
        for mapping in mappings.values():
            mapping.madvise(mmap.MADV_DONTNEED)

    def leave_out(self, prefix: str) -> None:
        """Count the tensors below this prefix as used: no tower needs them."""
        self._used.update(name for name in self._tensors if name.startswith(self._prefix + prefix))

    def unused(self) -> Iterator[str]:
        return (name for name in self._tensors if name not in self._used and name not in LOGITS)


def _mapping(tensor: NDArray[np.generic]) -> mmap.mmap | None:
    """The memory-mapped file that the tensor is a view of, if any."""
    base: object = tensor
    while isinstance(base, np.ndarray):
        base = base.base
    return base if isinstance(base, mmap.mmap) else None


def as_float32(tensor: NDArray[np.generic]) -> NDArray[np.float32]:
    """A float32 copy; uint16 holds the upper half of a float32's bits (bfloat16). Beyond float32 is infinity."""
    if tensor.dtype == np.uint16:
        return (tensor.astype(np.uint32) << 16).view(np.float32)
    with np.errstate(over="ignore"):  # the self-check tells of it
        return tensor.astype(np.float32, order="C")
