"""A small JPEG of an image file, for people to look at."""

from __future__ import annotations

from collections.abc import Callable

from ..bulk.items import read_file
from ..inputs.thumbnails import thumbnail

LARGEST_FILE = 64_000_000  # bytes


def file_thumbnail(path: str, max_megapixels: float, make: Callable[[bytes], bytes] | None = None) -> bytes:
    """As `thumbnail`, or as `make` makes it. Also raises Unreadable for what is no regular file, or larger than
    LARGEST_FILE."""
    data = read_file(path, LARGEST_FILE)
    return make(data) if make else thumbnail(data, max_megapixels)
