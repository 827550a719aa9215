"""Any file with weights → Weights: safetensors, torch's forms, several files of one model. The content decides."""

from __future__ import annotations

import hashlib
from pathlib import Path

from ..errors import UnsupportedModel
from .digest import file_sha256
from .other_files import READ, archive_refusal, refusal
from .safetensors import check_whole, is_safetensors, stored_safetensors
from .shards import index_of, joined, shards_of
from .stored import Stored
from .torch_files.files import LEGACY_START, TorchFile, read_archive, read_legacy, root_of
from .torch_files.state_dict import is_inside, tensors_of
from .torch_files.tensors import arrays
from .torch_files.zip_members import members
from .tower_keys import tower_keys
from .weights import Weights


def read_weights(path: Path) -> Weights:
    """Map the file, or all files of the model that it is a part or the index of. What is not in order or is float64 is
    copied: tensors.arrays.

    Raises CorruptCheckpoint (damaged, cut, a type that no tower uses), UnsupportedModel (something else than weights).
    """
    path = index_of(path)
    shards = shards_of(path)
    return read_file(path) if shards is None else Weights(joined(path, shards, stored_in), str(path))


def read_file(path: Path) -> Weights:
    """The tensors of this file alone. Raises as read_weights does."""
    stored = stored_in(path)
    return Weights(stored.arrays(tower_keys(str(path), stored.names)), str(path))


def stored_names(path: Path) -> list[str]:
    """The names of all tensors, as they are stored. Raises as read_weights does."""
    shards = shards_of(path)
    if shards is None:
        return list(stored_in(path).names)
    return [name for shard, names in shards.items() for name in names or stored_in(path.parent / shard).names]


def kind_of_file(path: Path) -> str:
    """What is said of the form of a file that read_weights reads. Raises as it does."""
    if shards := shards_of(path):
        return f"{len(shards)} files, {kind_of_file_alone(path.parent / next(iter(shards)))}"
    return kind_of_file_alone(path)


def kind_of_file_alone(path: Path) -> str:
    """The same for one file, whatever others belong to it."""
    if is_safetensors(path):
        return "safetensors"
    with path.open("rb") as file:
        is_zip = file.read(2) == b"PK"
    torch_file = _torch_file(path)
    if torch_file.is_program:
        return "TorchScript"
    return ("a training checkpoint, " if is_inside(torch_file) else "") + f"torch's {'zip' if is_zip else 'older'} form"


def weights_sha256(path: Path) -> str:
    """The SHA-256 of the file; of several, that of their digests. Raises CorruptCheckpoint, OSError."""
    shards = shards_of(path)
    if shards is None:
        return file_sha256(path)
    digests = [file_sha256(path.parent / name) for name in shards]
    return hashlib.sha256("".join(digests).encode()).hexdigest()


def stored_in(path: Path) -> Stored:
    """What this file holds. Raises as read_weights does."""
    if is_safetensors(path):
        return stored_safetensors(path)
    torch_file = _torch_file(path)
    tensors = tensors_of(torch_file)
    return Stored(tensors, lambda wanted: arrays(torch_file, {key: tensors[name] for key, name in wanted.items()}))


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
