"""The tensors of a safetensors file, memory-mapped: reading one costs no copy."""

from __future__ import annotations

import hashlib
import itertools
import json
import mmap
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from ..errors import CorruptCheckpoint

# bfloat16 has no NumPy type: its bits travel as uint16 and the graph names the type again.
DTYPES: dict[str, np.dtype[np.generic]] = {
    "F32": np.dtype(np.float32),
    "F16": np.dtype(np.float16),
    "BF16": np.dtype(np.uint16),
}

# What is found under a .safetensors name when a download or a rename went wrong, by its first bytes.
OTHER_FORMATS = {
    b"<": "it is a web page",
    b"PK\x03\x04": "it is a pickle",
    b"\x80": "it is a pickle",
    b"version https://git-lfs": "it is a Git LFS pointer: run `git lfs pull`",
}

# Facts that ride along in some checkpoints and take no part in either tower's forward pass.
NOT_IN_A_TOWER = {"logit_scale", "logit_bias", "input_resolution", "context_length", "vocab_size",
                  "text.transformer.embeddings.position_ids"}  # fmt: skip # 0, 1, 2 …: of transformers before 4.31


class Weights:
    """Tensors by checkpoint key, below a prefix; remembers which were used.

    `weights["conv1.weight"]` gives the array; `weights.at("visual.")` a view of the keys
    below that prefix, sharing the memory and the record of use.
    """

    def __init__(self, tensors: dict[str, NDArray[np.generic]], prefix: str = "", used: set[str] | None = None) -> None:
        self._tensors = tensors
        self._prefix = prefix
        self._used = used if used is not None else set()

    def at(self, prefix: str) -> Weights:
        return Weights(self._tensors, self._prefix + prefix, self._used)

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
        """The tensor at `key`, which must have this shape."""
        tensor = self[key]
        if tensor.shape != shape:
            raise CorruptCheckpoint(
                f"tensor {self._prefix + key!r} has shape {list(tensor.shape)}, its config asks for {list(shape)}"
            )
        return tensor

    def count(self, keys: str) -> int:
        """How many layers there are: of "blocks.{}.norm.weight", those numbered 0, 1, 2 ... without a gap."""
        return next(i for i in itertools.count() if keys.format(i) not in self)

    def scalar(self, key: str) -> float | None:
        """A one-number tensor such as logit_scale, or None where there is none."""
        if key not in self:
            return None
        return float(as_float32(self[key]).reshape(-1)[0])

    def release(self) -> None:
        """Give the file's pages back to the system: a compiled graph has its own copy of nearly all of them.

        What is read again (rows of the token table) comes from the file, through the system's cache.
        """
        mapping = next((base for tensor in self._tensors.values() if (base := _mapping(tensor))), None)
        if mapping is not None and hasattr(mmap, "MADV_DONTNEED"):
            mapping.madvise(mmap.MADV_DONTNEED)

    def leave_out(self, prefix: str) -> None:
        """Take note that the tensors below this prefix, if any, are known to have no part in the towers."""
        self._used.update(name for name in self._tensors if name.startswith(self._prefix + prefix))

    def unused(self) -> Iterator[str]:
        return (name for name in self._tensors if name not in self._used and name not in NOT_IN_A_TOWER)


def _mapping(tensor: NDArray[np.generic]) -> mmap.mmap | None:
    """The mapping at the end of a view's chain of bases."""
    base: object = tensor
    while isinstance(base, np.ndarray):
        base = base.base
    return base if isinstance(base, mmap.mmap) else None


def as_float32(tensor: NDArray[np.generic]) -> NDArray[np.float32]:
    """A float32 copy; uint16 holds the upper half of a float32's bits (bfloat16)."""
    if tensor.dtype == np.uint16:
        return (tensor.astype(np.uint32) << 16).view(np.float32)
    return tensor.astype(np.float32)


def read_weights(path: Path) -> Weights:
    """Map a safetensors file.

    Raises CorruptCheckpoint for a file that is cut, is no safetensors file or holds a type
    that no tower uses.
    """
    check_whole(path)
    # Copy-on-write: OpenVINO asks for writable memory and never writes.
    data = np.memmap(path, dtype=np.uint8, mode="c")
    start = 8 + int(data[:8].view(np.uint64)[0])
    header = json.loads(bytes(data[8:start]))
    tensors: dict[str, NDArray[np.generic]] = {}
    for name, entry in header.items():
        name = name.removeprefix("module.")  # left by torch's DataParallel
        if name == "__metadata__" or name in NOT_IN_A_TOWER - {"logit_scale", "logit_bias"}:
            continue
        if name.endswith(".num_batches_tracked"):  # an integer that BatchNorm counts in training
            continue
        if entry["dtype"] not in DTYPES:
            raise CorruptCheckpoint(
                f"{path}: tensor {name!r} has type {entry['dtype']}, expected one of {', '.join(DTYPES)}"
            )
        begin, end = entry["data_offsets"]
        array = data[start + begin : start + end].view(DTYPES[entry["dtype"]]).reshape(entry["shape"])
        tensors[name] = np.require(array, requirements="A")  # the format allows any offset; this copies an odd one
    return Weights(tensors)


def check_whole(path: Path) -> None:
    """Read the header and compare it with the file's size; the library checks what the format promises
    (no gaps, no overlaps, nothing missing), so that mapping is plain arithmetic.

    Raises CorruptCheckpoint.
    """
    try:
        with safe_open(path, framework="numpy"):
            pass
    except OSError as error:
        raise CorruptCheckpoint(f"{path} cannot be read ({error.strerror or error})") from error
    except (SafetensorError, ValueError) as error:
        reason = _other_format(path) or str(error).removeprefix("Error while deserializing header: ")
        # The file behind a cache's links: deleting a link would bring the same bytes back.
        raise CorruptCheckpoint(
            f"{path.resolve()} is not a whole safetensors file ({reason}): delete it and fetch it anew"
        ) from error


def _other_format(path: Path) -> str | None:
    with path.open("rb") as file:
        head = file.read(64)
    return next((name for start, name in OTHER_FORMATS.items() if head.lstrip().startswith(start)), None)


def sha256(path: Path) -> str:
    """Hex digest of a file's bytes (about 1.7 GB a second on a core with SHA instructions)."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
