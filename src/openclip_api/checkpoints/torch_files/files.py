"""The files that torch writes → what their pickle describes, and where the file has each storage.

Three forms: a zip archive (torch.save since 1.6), an archive with a program besides (torch.jit.save, TorchScript), and
the older one, pickles with the storages behind them. Source: torch/serialization.py (2.14), _load and _legacy_load.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ...errors import CorruptCheckpoint
from .pickled_values import NotReadable, Storage
from .pickles import MOST_BYTES, Pickles, load
from .zip_members import Place

# torch's storage classes and types that a tower's tensors can have, as NumPy's; bfloat16 as its bits.
TYPES: dict[str, np.dtype[np.generic]] = {
    "FloatStorage": np.dtype("<f4"), "HalfStorage": np.dtype("<f2"), "BFloat16Storage": np.dtype("<u2"),
    "DoubleStorage": np.dtype("<f8"),
    "float32": np.dtype("<f4"), "float16": np.dtype("<f2"), "bfloat16": np.dtype("<u2"), "float64": np.dtype("<f8"),
}  # fmt: skip
# Others, to know how long a storage of the older form is.
ITEM_SIZES = {
    "ByteStorage": 1, "CharStorage": 1, "BoolStorage": 1, "ShortStorage": 2, "IntStorage": 4, "LongStorage": 8,
    "ComplexFloatStorage": 8, "ComplexDoubleStorage": 16, "UntypedStorage": 1, "QUInt8Storage": 1, "QInt8Storage": 1,
    "QInt32Storage": 4, "QUInt4x2Storage": 1, "QUInt2x4Storage": 1,
}  # fmt: skip
LEGACY_START = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."  # the pickle of torch/serialization.py, MAGIC_NUMBER
ROOT = re.compile(r"([^/]+)/data\.pkl")


@dataclass(frozen=True)
class TorchFile:
    """content: what the pickle describes. storages: where the file has each, by its key.

    is_program: it is TorchScript, whose content is a module, not a dict of tensors.
    """

    path: Path
    content: object
    storages: Mapping[str, Place]
    is_program: bool = False


def root_of(names: Mapping[str, Place]) -> str | None:
    """The folder of torch's archives in which all members lie, or None for another kind of archive."""
    roots = [match[1] for name in names if (match := ROOT.fullmatch(name))]
    return roots[0] if len(roots) == 1 else None


def read_archive(path: Path, places: Mapping[str, Place]) -> TorchFile:
    """places: the archive's members, as zip_members.members gives them. Raises CorruptCheckpoint."""
    root = root_of(places)
    pickle, prefix = f"{root}/data.pkl", f"{root}/data/"
    storages = {name.removeprefix(prefix): place for name, place in places.items() if name.startswith(prefix)}
    if places[pickle].compressed or any(place.compressed for place in storages.values()):
        raise CorruptCheckpoint(
            f"{path} is a compressed zip archive, which cannot be read as it is: save it with torch.save"
        )
    if places[pickle].size > MOST_BYTES:
        raise CorruptCheckpoint(f"{path}: its data.pkl has {places[pickle].size:,} bytes, more than {MOST_BYTES:,}")
    with path.open("rb") as file, _naming(path):
        if f"{root}/byteorder" in places and _bytes(file, places[f"{root}/byteorder"], 9) != b"little":
            raise CorruptCheckpoint(
                f"{path} has its numbers in big-endian order: save it again on an x86 or ARM machine"
            )
        content = load(Pickles(_bytes(file, places[pickle], MOST_BYTES))).content
    return TorchFile(path, content, storages, is_program=f"{root}/constants.pkl" in places)


def read_legacy(path: Path) -> TorchFile:
    """Raises CorruptCheckpoint."""
    with path.open("rb") as file, _naming(path):
        stream = Pickles(file.read(MOST_BYTES))
        # A magic number, the version of the form, facts about the machine; then what counts.
        _, _, _, pickled, keys = (load(stream) for _ in range(5))
        storages = _legacy_storages(file, stream.tell(), keys.content, pickled.storages)
    return TorchFile(path, pickled.content, storages)


def _legacy_storages(file: BinaryIO, at: int, keys: object, stored: Mapping[str, Storage]) -> dict[str, Place]:
    """Behind the pickles lies for each key, in their order: how many numbers (int64), and the numbers."""
    size = os.fstat(file.fileno()).st_size
    places: dict[str, Place] = {}
    for key in keys if isinstance(keys, list) else []:
        kind = last_word(stored[key].kind) if isinstance(key, str) and key in stored else ""
        item_size = TYPES[kind].itemsize if kind in TYPES else ITEM_SIZES.get(kind)
        if item_size is None:
            raise NotReadable("it has a storage of a type that is not known here")
        file.seek(at)
        count = int.from_bytes(file.read(8), "little")
        places[key] = Place(at + 8, count * item_size)
        at = places[key].end
        if at > size:
            raise NotReadable("it was cut, or a storage is longer than the file")
    return places


def last_word(name: str) -> str:
    """A name without its module: "torch FloatStorage" gives "FloatStorage"."""
    return name.rpartition(" ")[2]


def _bytes(file: BinaryIO, place: Place, most: int) -> bytes:
    file.seek(place.start)
    return file.read(min(place.size, most))


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    try:
        yield
    except NotReadable as error:
        raise CorruptCheckpoint(
            f"{path.resolve()} cannot be read ({error}): download it again, or save it again with torch.save"
        ) from error
