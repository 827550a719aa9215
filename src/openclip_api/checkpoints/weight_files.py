"""Any file with weights → Weights: safetensors, torch's forms, and the index of several. Its content decides."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import CorruptCheckpoint, UnsupportedModel, shown
from .digest import file_sha256
from .other_files import READ, archive_refusal, refusal
from .safetensors import check_whole, is_safetensors, map_safetensors
from .torch_files.files import LEGACY_START, TorchFile, read_archive, read_legacy, root_of
from .torch_files.state_dict import PLACES, tensors_of
from .torch_files.tensors import arrays
from .torch_files.zip_members import members
from .weights import Weights, by_tower_key

Arrays = Mapping[str, NDArray[np.generic]]

MOST_INDEX_BYTES = 32_000_000
MOST_SHARDS = 1000
SHARD_NAME = re.compile(r"\w[\w.-]{0,200}", re.ASCII)  # no folder, and none above


def read_weights(path: Path) -> Weights:
    """Map the file, or all files that an index names. What is not in order or is float64 is copied: tensors.arrays.

    Raises CorruptCheckpoint (damaged, cut, a type that no tower uses), UnsupportedModel (something else than weights).
    """
    shards = shards_of(path)
    return Weights(_mapped(path) if shards is None else _joined(path, shards), str(path))


def kind_of_file(path: Path) -> str:
    """What is said of the form of a file that read_weights reads. Raises as it does."""
    if shards_of(path) is not None:
        return "the index of several files"
    if is_safetensors(path):
        return "safetensors"
    with path.open("rb") as file:
        is_zip = file.read(2) == b"PK"
    torch_file = _torch_file(path)
    if torch_file.is_program:
        return "TorchScript"
    # A training program's checkpoint has more than tensors, such as the epoch.
    inside = isinstance(torch_file.content, dict) and any(place in torch_file.content for place in PLACES)
    return ("a training checkpoint, " if inside else "") + f"torch's {'zip' if is_zip else 'older'} form"


def weights_sha256(path: Path) -> str:
    """The SHA-256 of the file; of an index, that of its shards' digests. Raises CorruptCheckpoint, OSError."""
    shards = shards_of(path)
    if shards is None:
        return file_sha256(path)
    digests = [file_sha256(path.parent / name) for name in shards]
    return hashlib.sha256("".join(digests).encode()).hexdigest()


def _mapped(path: Path) -> Arrays:
    """One file's tensors by key in Weights."""
    if is_safetensors(path):
        return map_safetensors(path)
    torch_file = _torch_file(path)
    return arrays(torch_file, by_tower_key(str(path), tensors_of(torch_file)))


def _torch_file(path: Path) -> TorchFile:
    with path.open("rb") as file:
        head = file.read(len(LEGACY_START))
    if head.startswith(b"PK"):
        places = members(path)
        if root_of(places) is None:
            raise archive_refusal(path, places)
        return read_archive(path, places)
    if head.startswith(LEGACY_START):
        return read_legacy(path)
    error = refusal(path)
    if error is None and path.suffix == ".safetensors":
        check_whole(path)  # the library says what is wrong
    raise error or UnsupportedModel(f"{path} is of a form that is not known here: give {READ}")


def shards_of(path: Path) -> dict[str, list[str]] | None:
    """Of an index: each shard's keys in Weights, by the name of its file beside the index. Of another file: None."""
    if is_safetensors(path):
        return None
    with path.open("rb") as file:
        if file.read(16).lstrip()[:1] != b"{":
            return None
        file.seek(0)
        try:
            written = json.loads(file.read(MOST_INDEX_BYTES)).get("weight_map")
        except (ValueError, RecursionError):
            return None
    if not isinstance(written, dict):
        return None
    shards: dict[str, list[str]] = {}
    for key, name in by_tower_key(str(path), written).items():
        if not isinstance(name, str) or not SHARD_NAME.fullmatch(name):
            raise CorruptCheckpoint(f"{path}: weight_map names a shard that is no file beside it: {shown(name)}")
        shards.setdefault(name, []).append(key)
    if not 0 < len(shards) <= MOST_SHARDS:
        raise CorruptCheckpoint(f"{path}: weight_map names {len(shards)} shards, expected 1 to {MOST_SHARDS}")
    return dict(sorted(shards.items()))


def _joined(index: Path, shards: Mapping[str, list[str]]) -> Arrays:
    """Each key from the shard that the index names for it; what a shard holds besides is left out."""
    joined: dict[str, NDArray[np.generic]] = {}
    for name, keys in shards.items():
        shard = index.parent / name
        if not shard.is_file():
            raise CorruptCheckpoint(f"{index} names {name}, which is not beside it: fetch all of its files")
        found = _mapped(shard)
        for key in keys:
            if key not in found:
                raise CorruptCheckpoint(f"{index} says that {name} has the tensor {key!r}, and it has not")
            joined[key] = found[key]
    return joined
