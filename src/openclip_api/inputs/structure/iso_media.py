"""AVIF and HEIC: boxes, items and frames. Sources: ISO/IEC 14496-12, 23008-12; AV1 specification, 5.3 to 5.5.

libavif looks for an item among all others, so their number counts twice. A frame's own header says how large the
decoder makes it, whatever the boxes say.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from ...errors import InvalidImage, TooLarge
from .bounds import refuse_over

MAX_BOXES = 10_000  # a phone's grid of 48 megapixels has some 200 items, and a few boxes for each
MAX_DEPTH = 16
MAX_ITEMS = 1024
MAX_FRAMES = 100_000
MAX_UNITS = 20_000  # of compressed data; a picture has a few

FULL = 4  # bytes of version and flags at the start of many boxes
CONTAINERS = {b"meta": FULL, b"iprp": 0, b"ipco": 0, b"moov": 0, b"trak": 0, b"mdia": 0, b"minf": 0, b"stbl": 0}
CUT = "the image cannot be decoded: a part of it is missing or misplaced"


@dataclass
class _Track:
    """Where the first frame of an animation begins, and how many bytes it has."""

    start: int = 0
    size: int = 0


@dataclass
class _Found:
    """What counts of a file's boxes. extents: of an item, each from one byte to another."""

    boxes: int = 0
    types: dict[int, bytes] = field(default_factory=dict)
    extents: dict[int, list[tuple[int, int, bool]]] = field(default_factory=dict)
    tracks: list[_Track] = field(default_factory=list)
    idat: int = 0
    is_turned: bool = False


def check_iso_media(data: bytes, max_pixels: float) -> None:
    """Raises InvalidImage, TooLarge."""
    found = _Found()
    _walk(data, 0, len(data), found, max_pixels)
    units = 0
    for item, extents in found.extents.items():
        if found.types.get(item) == b"av01":
            for start, end, is_in_idat in extents:
                base = found.idat if is_in_idat else 0
                units = _check_frames(data, base + start, base + end, units, max_pixels)
    for track in found.tracks:
        units = _check_frames(data, track.start, min(len(data), track.start + track.size), units, max_pixels)


def turns_itself(data: bytes) -> bool:
    """Whether the boxes say how the picture is turned, so that its decoder has done that and EXIF does not count."""
    found = _Found()
    _walk(data, 0, len(data), found, math.inf)
    return found.is_turned


def _walk(data: bytes, start: int, end: int, found: _Found, max_pixels: float, depth: int = 0) -> None:
    refuse_over(MAX_DEPTH, depth, "boxes inside each other")
    for kind, at, behind in _boxes(data, start, end):
        found.boxes += 1
        refuse_over(MAX_BOXES, found.boxes, "boxes")
        if kind == b"stbl":
            found.tracks.append(_Track())
        if kind in CONTAINERS:
            _walk(data, at + CONTAINERS[kind], behind, found, max_pixels, depth + 1)
        elif kind == b"ispe":
            _check_size(_number(data, at + 4, 4), _number(data, at + 8, 4), max_pixels)
        elif kind == b"iinf":
            _read_types(data, at, behind, found)
        elif kind == b"iloc":
            _read_extents(data, at, behind, found)
        elif kind in (b"irot", b"imir"):
            found.is_turned = True
        elif kind == b"idat":
            found.idat = at
        elif kind in (b"stsz", b"stco", b"co64") and found.tracks:
            _read_track(data, kind, at, found.tracks[-1])


def _boxes(data: bytes, at: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Kind, and where the content begins and ends."""
    end = min(end, len(data))
    while at + 8 <= end:
        size, header = _number(data, at, 4), 8
        if size == 1:
            size, header = _number(data, at + 8, 8), 16
        behind = end if size == 0 else at + size
        if size and size < header:
            return
        yield data[at + 4 : at + 8], at + header, min(behind, end)
        at = behind


def _read_track(data: bytes, kind: bytes, at: int, track: _Track) -> None:
    """ISO/IEC 14496-12, 8.7.3 and 8.7.5: the first sample's size, and the first chunk's offset."""
    if kind == b"stsz":
        refuse_over(MAX_FRAMES, _number(data, at + 8, 4), "frames")
        track.size = _number(data, at + 4, 4) or _number(data, at + 12, 4)
    else:
        track.start = _number(data, at + 8, 4 if kind == b"stco" else 8)


def _read_types(data: bytes, at: int, end: int, found: _Found) -> None:
    """iinf: the items' types, of infe boxes of version 2 or 3."""
    is_short = data[at] == 0 if at < len(data) else True
    refuse_over(MAX_ITEMS, _number(data, at + 4, 2 if is_short else 4), "items")
    for kind, entry, _ in _boxes(data, at + (6 if is_short else 8), end):
        found.boxes += 1
        refuse_over(MAX_BOXES, found.boxes, "boxes")
        if kind == b"infe" and entry < len(data):
            width = 4 if data[entry] >= 3 else 2
            found.types[_number(data, entry + 4, width)] = data[entry + 6 + width : entry + 10 + width]


def _read_extents(data: bytes, at: int, end: int, found: _Found) -> None:
    """iloc, ISO/IEC 14496-12, 8.11.3."""
    if at + 8 > len(data):
        return
    version, sizes = data[at], _number(data, at + 4, 2)
    offset_size, length_size, base_size, index_size = (sizes >> shift & 15 for shift in (12, 8, 4, 0))
    wide = 4 if version >= 2 else 2
    count = _number(data, at + 6, wide)
    refuse_over(MAX_ITEMS, count, "items")
    at += 6 + wide
    for _ in range(count):
        item = _number(data, at, wide)
        at += wide
        method = _number(data, at, 2) & 15 if version >= 1 else 0
        at += (2 if version >= 1 else 0) + 2
        base = _number(data, at, base_size)
        at += base_size
        extents = _number(data, at, 2)
        at += 2
        found.boxes += extents
        refuse_over(MAX_BOXES, found.boxes, "boxes")
        step = (index_size if version >= 1 else 0) + offset_size + length_size
        for _ in range(extents if at < end else 0):
            offset = base + _number(data, at + step - offset_size - length_size, offset_size)
            length = _number(data, at + step - length_size, length_size) or len(data)
            found.extents.setdefault(item, []).append((offset, min(offset + length, len(data)), method == 1))
            at += step


def _check_frames(data: bytes, at: int, end: int, units: int, max_pixels: float) -> int:
    """Unit after unit of AV1: the sequence headers say how large a frame may be. Returns how many units there were."""
    end = min(end, len(data))
    while at < end:
        units += 1
        refuse_over(MAX_UNITS, units, "units")
        header = data[at]
        kind, at = header >> 3 & 15, at + 1 + (header >> 2 & 1)
        size = end - at
        if header & 2:
            size, at = _leb128(data, at)
        if kind == 1:
            _check_size(*_largest_frame(data[at : at + 64]), max_pixels)
        if at + size > len(data):
            raise InvalidImage(CUT)
        at += size
    return units


def _leb128(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for number, byte in enumerate(data[at : at + 8]):
        value |= (byte & 127) << (7 * number)
        if byte < 128:
            return value, at + number + 1
    raise InvalidImage(CUT)


def _largest_frame(data: bytes) -> tuple[int, int]:
    """AV1 specification, 5.5.1: width and height of a sequence header."""
    bits, at = int.from_bytes(data, "big"), 0
    total = 8 * len(data)

    def take(count: int) -> int:
        nonlocal at
        at += count
        if at > total:
            raise InvalidImage(CUT)
        return bits >> (total - at) & ((1 << count) - 1)

    take(4)  # seq_profile, still_picture
    if take(1):  # reduced_still_picture_header
        take(5)
    else:
        _take_operating_points(take)
    width, height = take(4) + 1, take(4) + 1
    return take(width) + 1, take(height) + 1


def _take_operating_points(take: Callable[[int], int]) -> None:
    delay = 0
    if take(1):  # timing_info_present_flag
        take(64)
        if take(1):  # equal_picture_interval: a number that begins with as many zeros as it has digits
            zeros = 0
            while not take(1):
                zeros += 1
            take(zeros)
        if take(1):  # decoder_model_info_present_flag
            delay = take(5) + 1
            take(42)
    has_display_delay = take(1)
    for _ in range(take(5) + 1):
        take(12)
        if take(5) > 7:
            take(1)
        if delay and take(1):
            take(2 * delay + 1)
        if has_display_delay and take(1):
            take(4)


def _check_size(width: int, height: int, max_pixels: float) -> None:
    if width * height > max_pixels:
        raise TooLarge(f"a part of the image has {width} x {height} pixels, more than {max_pixels / 1e6:g} megapixels")


def _number(data: bytes, at: int, size: int) -> int:
    return int.from_bytes(data[at : at + size], "big")
