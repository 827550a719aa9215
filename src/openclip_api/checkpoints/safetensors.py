"""A safetensors file → Weights. The file is memory-mapped: reading a tensor costs no copy."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, TensorSpec, safe_open, serialize_file

from ..errors import CorruptCheckpoint
from .damage import LONGEST
from .stored import FULL, Arrays, Stored
from .tower_keys import tower_keys
from .weights import Weights, as_float32

# NumPy has no bfloat16: its bits are kept as uint16, and the graph gives them their type again.
DTYPES: dict[str, np.dtype[np.generic]] = {
    "F32": np.dtype(np.float32),
    "F16": np.dtype(np.float16),
    "BF16": np.dtype(np.uint16),
    "F64": np.dtype(np.float64),
}

# What a file with a .safetensors name really is when a download or a rename went wrong, by its first bytes.
OTHER_FORMATS = {
    b"<": "it is a web page",
    b"PK\x03\x04": "it is a pickle",
    b"\x80": "it is a pickle",
    b"version https://git-lfs": "it is a Git LFS pointer: run `git lfs pull`",
}


def is_safetensors(path: Path) -> bool:
    """Whether it starts as one: with the length of a JSON object, and its brace. Raises CorruptCheckpoint."""
    try:
        with path.open("rb") as file:
            head = file.read(9)
    except OSError as error:
        raise CorruptCheckpoint(f"{path} cannot be read ({error.strerror or error})") from error
    return head[8:] == b"{" and int.from_bytes(head[:8], "little") < 1 << 32


def read_safetensors(path: Path) -> Weights:
    """Map a safetensors file.

    Raises CorruptCheckpoint for a file that is cut, is no safetensors file or holds a type that no tower uses.
    """
    stored = stored_safetensors(path)
    return Weights(stored.arrays(tower_keys(str(path), stored.names)), str(path))


def stored_safetensors(path: Path) -> Stored:
    """Raises as read_safetensors does."""
    check_whole(path)
    # Copy-on-write: OpenVINO asks for writable memory and never writes.
    data = np.memmap(path, dtype=np.uint8, mode="c")
    start = 8 + int(data[:8].view(np.uint64)[0])
    header = json.loads(bytes(data[8:start]))
    header.pop("__metadata__", None)
    return Stored(header, lambda wanted: _arrays(path, header, data[start:], wanted))


def _arrays(path: Path, header: Mapping[str, Any], data: NDArray[np.uint8], wanted: Mapping[str, str]) -> Arrays:
    """float64 becomes float32: a copy with half the bytes of the tensor."""
    tensors: Arrays = {}
    for key, name in wanted.items():
        entry = header[name]
        if entry["dtype"] not in DTYPES:
            raise CorruptCheckpoint(
                f"{path}: tensor {key!r} has type {entry['dtype']}, expected one of {', '.join(DTYPES)}; {FULL}"
            )
        begin, end = entry["data_offsets"]
        array = data[begin:end].view(DTYPES[entry["dtype"]]).reshape(entry["shape"])
        # The requirement copies a tensor at an odd offset.
        tensors[key] = as_float32(array) if entry["dtype"] == "F64" else np.require(array, requirements="A")
    return tensors


def write_safetensors(tensors: Mapping[str, NDArray[np.generic]], path: Path) -> None:
    """Write one file, straight from the tensors' memory; uint16 is bfloat16. Raises OSError."""
    # The library takes addresses: what is not in order is copied, and all must live until it is done.
    arrays = {name: np.ascontiguousarray(tensor).reshape(tensor.shape) for name, tensor in tensors.items()}
    specs = {
        name: TensorSpec(
            dtype="bfloat16" if array.dtype == np.uint16 else array.dtype.name,
            shape=list(array.shape),
            data_ptr=array.ctypes.data,
            data_len=array.nbytes,
        )
        for name, array in arrays.items()
    }
    try:
        serialize_file(specs, path, metadata={"format": "pt"})
    except SafetensorError as error:
        raise OSError(str(error)) from error


def check_whole(path: Path) -> None:
    """Raises CorruptCheckpoint unless the header is sound and the file has the size that it asks for.

    The library checks what the format promises: no gaps, no overlaps, nothing missing. So `read_safetensors` can
    trust the header's offsets.
    """
    try:
        with safe_open(path, framework="numpy"):
            pass
    except OSError as error:
        raise CorruptCheckpoint(f"{path} cannot be read ({error.strerror or error})") from error
    except (SafetensorError, ValueError) as error:
        reason = _other_format(path) or str(error).removeprefix("Error while deserializing header: ")[:LONGEST]
        # Name the file behind the cache's links: to delete a link would bring the same bytes back.
        raise CorruptCheckpoint(
            f"{path.resolve()} is not a whole safetensors file ({reason}): delete it and download it again"
        ) from error


def _other_format(path: Path) -> str | None:
    with path.open("rb") as file:
        head = file.read(64)
    return next((name for start, name in OTHER_FORMATS.items() if head.lstrip().startswith(start)), None)
