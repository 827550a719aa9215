"""The members of a zip archive as places in the file, so that they can be mapped. Nothing is ever unpacked."""

from __future__ import annotations

import io
import os
import struct
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ...errors import CorruptCheckpoint, shown

# The list of members at the archive's end, 60 to 120 bytes for each; the largest training checkpoints have thousands.
# It is read as a whole, and takes some ten times as much memory.
MOST_LISTED = 8_000_000
LOCAL_HEADER = struct.Struct("<4s22xHH")  # its signature; the lengths of the name and of the extra field behind it


@dataclass(frozen=True, slots=True)
class Place:
    """Bytes of a file. compressed: they are not those of the member, which has to be unpacked."""

    start: int
    size: int
    compressed: bool = False

    @property
    def end(self) -> int:
        return self.start + self.size


def members(path: Path) -> dict[str, Place]:
    """Each member's name and place.

    Raises CorruptCheckpoint for what torch never writes: an encrypted member, two of the same name, members that
    overlap or lie beyond the file's end.
    """
    with path.open("rb") as file:
        try:
            listed = [entry for entry in zipfile.ZipFile(_Bounded(file)).infolist() if not entry.is_dir()]
        except Exception as error:  # a made-up list of members fails at many places
            is_cut = isinstance(error, zipfile.BadZipFile) and "not a zip file" in str(error)
            what = "a zip archive without its end, a download that was cut" if is_cut else "a damaged zip archive"
            raise CorruptCheckpoint(f"{path.resolve()} is {what}: delete it and download it again") from error
        places = {entry.filename: _place(path, file, entry) for entry in listed}
    if len(places) < len(listed):
        raise CorruptCheckpoint(f"{path}: two members of the archive have the same name")
    _check_apart(path, places, path.stat().st_size)
    return places


class _Bounded(io.RawIOBase):
    """A file of which no more than MOST_LISTED bytes are read at once."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def seek(self, offset: int, whence: int = 0, /) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def seekable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        read = self._file.read(MOST_LISTED + 1 if size < 0 else min(size, MOST_LISTED + 1))
        if len(read) > MOST_LISTED:
            raise ValueError("its list of members is too long")
        return read


def _place(path: Path, file: BinaryIO, entry: zipfile.ZipInfo) -> Place:
    if entry.flag_bits & 1:
        raise CorruptCheckpoint(
            f"{path}: its member {shown(entry.filename)} is encrypted: unpack the archive, and give what was in it"
        )
    header = b""
    if 0 <= entry.header_offset < os.fstat(file.fileno()).st_size:
        file.seek(entry.header_offset)
        header = file.read(LOCAL_HEADER.size)
    if len(header) < LOCAL_HEADER.size or not header.startswith(b"PK\x03\x04"):
        raise CorruptCheckpoint(f"{path}: its member {shown(entry.filename)} is not where the archive says")
    _, name, extra = LOCAL_HEADER.unpack(header)
    compressed = entry.compress_type != zipfile.ZIP_STORED
    return Place(entry.header_offset + LOCAL_HEADER.size + name + extra, entry.compress_size, compressed)


def _check_apart(path: Path, places: dict[str, Place], size: int) -> None:
    end = 0
    for name, place in sorted(places.items(), key=lambda member: (member[1].start, member[1].end)):
        if place.start < end or place.end > size:
            raise CorruptCheckpoint(f"{path}: its member {shown(name)} lies over another or beyond the file's end")
        end = place.end
