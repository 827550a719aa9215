"""What is read of an item: its content, a digest of it, and what a store keeps about the file."""

from __future__ import annotations

import hashlib
import os
from datetime import datetime, timedelta, timezone
from typing import NamedTuple

from PIL import Image

from ..bulk.items import SourceItem, read_file_and_state
from ..inputs.formats import installed_formats
from ..inputs.images import open_image
from ..inputs.structure.bounds import MAX_EXIF_BYTES

EXIF_IFD, DATE_TIME_ORIGINAL = 0x8769, 36867
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


class Content(NamedTuple):
    """state and modified: of a file, from before it was read; None for what is no file of its own."""

    data: str | bytes
    digest: str
    state: os.stat_result | None = None
    modified: datetime | None = None
    taken: datetime | None = None


def read_content(item: SourceItem, max_bytes: int) -> Content:
    """Raises what item.read raises."""
    if not item.is_file:
        data = item.read()
        return Content(data, _digest(data), taken=_taken(data))
    data, state = read_file_and_state(item.path, max_bytes)
    modified = _time(state.st_mtime)
    return Content(data, _digest(data), state, modified, _taken(data))


def _digest(data: str | bytes) -> str:
    """A text and an image of the same bytes are not the same content."""
    if isinstance(data, str):
        return hashlib.blake2b(data.encode("utf-8", "surrogatepass"), digest_size=16, person=b"text").hexdigest()
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def _time(seconds: float) -> datetime | None:
    """None for a file's time that no calendar of Python has."""
    try:
        return EPOCH + timedelta(seconds=seconds)
    except OverflowError:
        return None


def _taken(data: str | bytes) -> datetime | None:
    """EXIF's DateTimeOriginal, of the camera's own time zone."""
    if isinstance(data, str):
        return None
    try:
        exif = open_image(data, formats=installed_formats()).info.get("exif", b"")
        if not 0 < len(exif) <= MAX_EXIF_BYTES:
            return None
        tags = Image.Exif()
        tags.load(exif)
        text = str(tags.get_ifd(EXIF_IFD)[DATE_TIME_ORIGINAL])
        return datetime.strptime(text[:19], "%Y:%m:%d %H:%M:%S")
    except Exception:  # damaged metadata; whether the image can be read is for the embedder to say
        return None
