"""Files as torch writes them, put together opcode by opcode: for all that torch itself would never write.

>>> archive(state_dict({"a": tensor("0", 4)}), {"0": bytes(16)})
"""

from __future__ import annotations

import io
import pickle
import struct
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from openclip_api.checkpoints.weight_files import read_weights
from openclip_api.errors import StartupError

MAGIC = 0x1950A86A20F9469CFC6C
SYSTEM = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}


def text(value: str) -> bytes:
    encoded = value.encode("utf-8", "surrogatepass")
    return b"X" + struct.pack("<I", len(encoded)) + encoded


def number(value: int) -> bytes:
    encoded = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8a" + bytes([len(encoded)]) + encoded


def numbers(values: Sequence[int]) -> bytes:
    return b"(" + b"".join(map(number, values)) + b"t"


def name(module: str, attribute: str) -> bytes:
    return f"c{module}\n{attribute}\n".encode()


def call(what: bytes, *arguments: bytes) -> bytes:
    return what + b"(" + b"".join(arguments) + b"tR"


def storage(key: str, count: int, kind: str = "FloatStorage") -> bytes:
    return b"(" + text("storage") + name("torch", kind) + text(key) + text("cpu") + number(count) + b"tQ"


def tensor(
    key: str,
    count: int,
    kind: str = "FloatStorage",
    *,
    offset: int = 0,
    shape: Sequence[int] | None = None,
    stride: Sequence[int] = (1,),
) -> bytes:
    view = numbers([count] if shape is None else shape), numbers(stride)
    rest = b"\x89", call(name("collections", "OrderedDict"))
    return call(name("torch._utils", "_rebuild_tensor_v2"), storage(key, count, kind), number(offset), *view, *rest)


def mapping(items: Mapping[str, bytes]) -> bytes:
    return b"}(" + b"".join(text(key) + value for key, value in items.items()) + b"u"


def state_dict(items: Mapping[str, bytes]) -> bytes:
    """A whole pickle."""
    return b"\x80\x02" + mapping(items) + b"."


def archive(
    data_pkl: bytes,
    storages: Mapping[str, bytes] | None = None,
    members: Mapping[str, bytes] | None = None,
    compression: int = zipfile.ZIP_STORED,
) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as written:
        written.writestr("archive/data.pkl", data_pkl)
        for key, content in (storages or {}).items():
            member = zipfile.ZipInfo(f"archive/data/{key}")
            padding = -(file.tell() + 30 + len(member.filename) + 4) % 64  # as torch aligns it
            member.extra = b"FB" + struct.pack("<H", padding) + bytes(padding)
            member.compress_type = compression
            written.writestr(member, content)
        for member, content in (members or {}).items():
            written.writestr(member, content)
    return file.getvalue()


def legacy(content: bytes, storages: Mapping[str, bytes], item_size: int = 4) -> bytes:
    pickles = [pickle.dumps(MAGIC, 2), pickle.dumps(1001, 2), pickle.dumps(SYSTEM, 2), content]
    pickles.append(pickle.dumps(list(storages), 2))
    numbers = [struct.pack("<q", len(data) // item_size) + data for data in storages.values()]
    return b"".join(pickles + numbers)


def refused(path: Path, content: bytes) -> str:
    """The one line that ends the reading of this file."""
    path.write_bytes(content)
    with pytest.raises(StartupError) as raised:
        read_weights(path)
    message = str(raised.value)
    assert str(path) in message
    assert "\n" not in message
    assert len(message) < 500
    return message
