"""A model in several files: those that an index names, or those with numbers in their names."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from ..errors import CorruptCheckpoint, shown
from .safetensors import is_safetensors
from .stored import Arrays, Stored
from .tower_keys import tower_key, tower_keys

MOST_INDEX_BYTES = 32_000_000
MOST_SHARDS = 1000
SHARD_NAME = re.compile(r"\w[\w.-]{0,200}", re.ASCII)  # no folder, and none above
# Five digits, as all libraries write them: "fold-1-of-5.pt" is a whole model.
NUMBERED = re.compile(r"(\w[\w.-]{0,180})-(\d{5})-of-(\d{5})(\.(?:safetensors|bin|pt|pth))", re.ASCII)
INDEX = ".index.json"

# The file's name → the names of its tensors that an index gives it; none where there is no index.
Shards = Mapping[str, Collection[str]]


def index_of(path: Path) -> Path:
    """Of a numbered file the index beside it, if there is one; any other path as it is."""
    match = NUMBERED.fullmatch(path.name)
    index = path.with_name(f"{match[1]}{match[4]}{INDEX}") if match else path
    return index if index.is_file() else path


def whole_of(path: Path) -> Path:
    """One path for all files of a model: their index, or the first of the numbered ones, whether it is there or not."""
    index = index_of(path)
    names = _all_numbers(path.name)
    return path.with_name(names[0]) if index == path and path.name in names else index


def shards_of(path: Path) -> Shards | None:
    """The files of an index, or of a numbered file, by the index beside it or else by their numbers; None for a file
    that is whole.

    Raises CorruptCheckpoint.
    """
    path = index_of(path)
    if NUMBERED.fullmatch(path.name):
        return dict.fromkeys(_numbered(path), ())
    written = _weight_map(path)
    if written is None:
        return None
    shards: dict[str, list[str]] = {}
    for key, name in written.items():
        if not isinstance(name, str) or not SHARD_NAME.fullmatch(name):
            raise CorruptCheckpoint(f"{path}: weight_map names a shard that is no file beside it: {shown(name)}")
        shards.setdefault(name, []).append(key)
    if not 0 < len(shards) <= MOST_SHARDS:
        raise CorruptCheckpoint(f"{path}: weight_map names {len(shards)} shards, expected 1 to {MOST_SHARDS}")
    for name in shards:
        if lacking := [other for other in _all_numbers(name) if other not in shards]:
            raise CorruptCheckpoint(f"{path}: weight_map names {name}, but not {lacking[0]}: download the index again")
    return dict(sorted(shards.items()))


def joined(path: Path, shards: Shards, read: Callable[[Path], Stored]) -> Arrays:
    """All tensors, by key in Weights: each from the shard that the index names for it. Raises StartupError."""
    stored = {}
    for name in shards:
        if not (path.parent / name).is_file():
            raise CorruptCheckpoint(f"{path} names {name}, which is not in its folder: download all of its files")
        stored[name] = read(path.parent / name)
    where = _without_index(path, stored) if not any(shards.values()) else _with_index(path, shards, stored)
    keys = tower_keys(str(path), where)
    arrays: Arrays = {}
    for shard, its in stored.items():
        arrays |= its.arrays({key: name for key, name in keys.items() if where[name] == shard})
    return arrays


def _weight_map(path: Path) -> Mapping[str, object] | None:
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
    return written if isinstance(written, dict) else None


def _all_numbers(name: str) -> list[str]:
    """The names of all files that one of them, "model-00002-of-00003.safetensors", stands for; [] for another name."""
    match = NUMBERED.fullmatch(name)
    if match is None or int(match[3]) > MOST_SHARDS:
        return []
    stem, _, total, suffix = match.groups()
    return [f"{stem}-{i:05}-of-{total}{suffix}" for i in range(1, int(total) + 1)]


def _numbered(path: Path) -> list[str]:
    names = _all_numbers(path.name)
    lacking = [name for name in names if not (path.parent / name).is_file()]
    if path.name not in names or lacking:
        what = f"{len(lacking)} of {len(names)} are missing, first {lacking[0]}" if lacking else "its number is wrong"
        raise CorruptCheckpoint(f"{path} is one of several files of a model, and {what}: download all of them")
    return names


def _without_index(path: Path, stored: Mapping[str, Stored]) -> dict[str, str]:
    """The shard of each tensor."""
    where: dict[str, str] = {}
    for shard, its in stored.items():
        for name in its.names:
            if name in where:
                raise CorruptCheckpoint(f"{path.parent / shard} has the tensor {name!r}, and {where[name]} has it too")
            where[name] = shard
    return where


def _with_index(path: Path, shards: Shards, stored: Mapping[str, Stored]) -> dict[str, str]:
    """The same, as the index has it. Raises CorruptCheckpoint where it is not the shards' own."""
    where = {name: shard for shard, names in shards.items() for name in names}
    for name, shard in where.items():
        if name not in stored[shard].names:
            raise CorruptCheckpoint(f"{path} says that {shard} has the tensor {name!r}, but it does not")
    for shard, its in stored.items():
        more = [name for name in its.names if name not in where and tower_key(name) is not None]
        if more:
            raise CorruptCheckpoint(
                f"{path} names {len(more)} tensors of {shard} nowhere, first {more[0]!r}: it is another model's index"
            )
    return where
