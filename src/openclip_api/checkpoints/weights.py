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

# Some checkpoints also hold these. Nothing reads them.
NEVER_READ = {"input_resolution", "context_length", "vocab_size"}
# BatchNorm counts an integer in training; transformers before 4.31 stored 0, 1, 2 …, and types that are all 0.
NEVER_READ_ENDS = (".num_batches_tracked", "embeddings.position_ids", "embeddings.token_type_ids")


# Between a key and a number: tensors that transformers keeps apart and open_clip in one. No key has it.
PART = "/"


class Weights:
    """Tensors by checkpoint key, below a prefix. It remembers which were used.

    `weights["conv1.weight"]` gives the array. `weights.at("visual.")` is a view of the keys below that prefix:
    it shares the memory and the record of use. Arrays are float32, float16, or uint16 for bfloat16.
    """

    def __init__(
        self, tensors: Mapping[str, NDArray[np.generic]], prefix: str = "", used: set[str] | None = None
    ) -> None:
        self._tensors = tensors
        self._prefix = prefix
        self._used = used if used is not None else set()

    def at(self, prefix: str) -> Weights:
        return Weights(self._tensors, self._prefix + prefix, self._used)

    def names(self) -> list[str]:
        """The keys below the prefix."""
        return [name.removeprefix(self._prefix) for name in self._tensors if name.startswith(self._prefix)]

    def __contains__(self, key: str) -> bool:
        return self._prefix + key in self._tensors

    def __getitem__(self, key: str) -> NDArray[np.generic]:
        """Raises CorruptCheckpoint where the checkpoint has no such tensor."""
        name = self._prefix + key
        if name not in self._tensors:
            raise CorruptCheckpoint(f"the checkpoint has no tensor {name!r}, which its config asks for")
        self._used.add(name)
        return self._tensors[name]

    def tensor(self, key: str, *shape: int) -> NDArray[np.generic]:
        """The tensor at `key`. Raises CorruptCheckpoint where it has another shape."""
        tensor = self[key]
        if tensor.shape != shape:
            raise CorruptCheckpoint(
                f"tensor {self._prefix + key!r} has shape {list(tensor.shape)}, its config asks for {list(shape)}"
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
            raise CorruptCheckpoint(f"tensor {self._prefix + key!r} is not one finite number")
        return float(number[0])

    def release(self) -> None:
        """Give the file's pages back to the system, as a compiled graph has its own copy of nearly all tensors.

        What is read again (rows of the token table) comes from the file, through the system's cache.
        """
        mapping = next((base for tensor in self._tensors.values() if (base := _mapping(tensor))), None)
        if mapping is not None and hasattr(mmap, "MADV_DONTNEED"):
            mapping.madvise(mmap.MADV_DONTNEED)

    def leave_out(self, prefix: str) -> None:
        """Count the tensors below this prefix as used: no tower needs them."""
        self._used.update(name for name in self._tensors if name.startswith(self._prefix + prefix))

    def unused(self) -> Iterator[str]:
        return (name for name in self._tensors if name not in self._used and name not in LOGITS)


def tower_key(name: str) -> str | None:
    """A stored tensor's name → its key in Weights, or None for a tensor that nothing reads."""
    key = name.removeprefix("module.")  # left by torch's DataParallel
    return None if key in NEVER_READ or key.endswith(NEVER_READ_ENDS) else key


def _mapping(tensor: NDArray[np.generic]) -> mmap.mmap | None:
    """The memory-mapped file that the tensor is a view of, if any."""
    base: object = tensor
    while isinstance(base, np.ndarray):
        base = base.base
    return base if isinstance(base, mmap.mmap) else None


def as_float32(tensor: NDArray[np.generic]) -> NDArray[np.float32]:
    """A float32 copy; uint16 holds the upper half of a float32's bits (bfloat16)."""
    if tensor.dtype == np.uint16:
        return (tensor.astype(np.uint32) << 16).view(np.float32)
    return tensor.astype(np.float32)
