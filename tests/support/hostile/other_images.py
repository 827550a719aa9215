"""Files of the formats that have come later, of colour profiles, and of what IMAGE_READING=natural changes."""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import lru_cache

from PIL import Image

from .. import profiles
from ..bad_images import PNG, chunk, encoded, photo, png

AVIF = encoded(photo(), "AVIF")


def times(part: bytes, size: int) -> bytes:
    return part * max(1, size // len(part))


def box(kind: bytes, content: bytes = b"") -> bytes:
    return struct.pack(">I", 8 + len(content)) + kind + content


def avif_of(part: bytes, kind: bytes = b"", start: bytes = b"") -> Callable[[int], bytes]:
    """AVIF whose metadata has the part again and again, in a box of this kind if there is one."""

    def make(size: int) -> bytes:
        parts = start + times(part, size)
        meta = box(b"meta", bytes(4) + (box(kind, parts) if kind else parts))
        return box(b"ftyp", b"avif\0\0\0\0avifmif1miaf") + meta + AVIF[AVIF.index(b"mdat") - 4 :]

    return make


@lru_cache
def flat(format: str, mode: str = "RGB", **options: object) -> bytes:
    """As many pixels as are allowed."""
    return encoded(Image.linear_gradient("L").resize((1990, 2000)).convert(mode), format, **options)


@lru_cache
def avif_animation(count: int) -> bytes:
    frames = [Image.new("RGB", (16, 16), (i % 256, i // 256, 0)) for i in range(count)]
    return encoded(frames[0], "AVIF", save_all=True, append_images=frames[1:])


def tiff_of(tag: int, kind: int, values: int = 1, big: bool = False) -> Callable[[int], bytes]:
    """A TIFF of many tags, from `tag` on, each with so many values."""

    def make(size: int) -> bytes:
        count = max(1, min(65_000, size // (20 if big else 12)))
        layout = "<HHQQ" if big else "<HHII"
        listed = b"".join(struct.pack(layout, one % 65_536, kind, values, 8) for one in range(tag, tag + count))
        if big:
            return b"II+\0\x08\0\0\0" + struct.pack("<QQ", 16, count) + listed + bytes(8)
        return b"II*\0" + struct.pack("<IH", 8, count) + listed + bytes(4)

    return make


def tiff_of_strips(size: int) -> bytes:
    """A row for each strip, as many as the file has room for."""
    rows = max(1, min(20_000, size // 10))
    at = 8 + 2 + 12 * 8 + 4
    entries = [(256, 4, 1, 200), (257, 4, 1, rows), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1),
               (273, 4, rows, at), (278, 4, 1, 1), (279, 4, rows, at + 4 * rows)]  # fmt: skip
    listed = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    offsets, counts = struct.pack("<I", 8) * rows, struct.pack("<I", 200) * rows
    return b"II*\0" + struct.pack("<IH", 8, 8) + listed + bytes(4) + offsets + counts + bytes(size // 5)


def icon_of_pictures(size: int) -> bytes:
    count = min(65_535, max(1, size // 16))
    entry = struct.pack("<BBBBHHII", 0, 0, 0, 0, 1, 32, len(PNG), 6 + 16 * count)
    return struct.pack("<HHH", 0, 1, count) + entry * count + PNG


def icon_of_run_lengths(size: int) -> bytes:
    """Codes that end a line, and give no pixel."""
    picture = struct.pack("<IiiHHIIiiII", 40, 1024, 2048, 1, 8, 1, 0, 0, 0, 256, 0) + bytes(1024) + bytes(size)
    return struct.pack("<HHH", 0, 1, 1) + struct.pack("<BBBBHHII", 0, 0, 0, 0, 1, 8, len(picture), 22) + picture


def tiff_of_directories(size: int) -> bytes:
    """Each leads to the next one, and the last to the first."""
    entries = [(256, 4, 1, 64), (257, 4, 1, 64), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1), (273, 4, 1, 8),
               (278, 4, 1, 64), (279, 4, 1, 4096), (34665, 4, 1, 8), (330, 4, 1, 8)]  # fmt: skip
    listed = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", *entry) for entry in entries)
    step, count = len(listed) + 4, max(1, size // (len(listed) + 4))
    following = (8 + step * ((number + 1) % count) for number in range(count))
    return b"II*\0" + struct.pack("<I", 8) + b"".join(listed + struct.pack("<I", at) for at in following) + bytes(5000)


def jpeg_2000_of_tiles(size: int) -> bytes:
    """Said to be as many as a file may have."""
    stream = encoded(photo(), "JPEG2000", no_jp2=True)
    sizes = struct.pack(">8I", 2000, 2000, 0, 0, 32, 32, 0, 0)
    return stream[:8] + sizes + stream[40:] + bytes(size)


def jpeg_2000_of(part: bytes) -> Callable[[int], bytes]:
    return lambda size: b"\0\0\0\x0cjP  \r\n\x87\n" + times(part, size)


def jpeg_2000_of_markers(size: int) -> bytes:
    stream = encoded(photo(), "JPEG2000", no_jp2=True)
    return stream[:51] + times(b"\xff\x64\0\2", size) + stream[51:]


def with_profile(make: Callable[[], bytes], mode: str) -> Callable[[int], bytes]:
    """A JPEG with a colour profile, and other bytes behind it."""
    return lambda size: encoded(photo((640, 480), mode), "JPEG", icc_profile=make()) + bytes(size)


def deep_png(size: int) -> bytes:
    """Sixteen bits of grey, as many as are allowed."""
    return png(1990, 2000, times(chunk(b"prIv", bytes(60_000)), size), rows=bytes((1 + 2 * 1990) * 2000), depth=16)


OTHER_FILES: dict[str, Callable[[int], bytes]] = {
    "AVIF of many items": avif_of(box(b"infe", b"\2\0\0\0\0\1\0\0av01\0"), b"iinf", b"\0\0\0\0\xff\xff"),
    "AVIF of many boxes": avif_of(box(b"free")),
    "AVIF of many properties": lambda size: avif_of(box(b"ipco", times(box(b"pasp", bytes(8)), size)), b"iprp")(1),
    "AVIF of many references": avif_of(box(b"dimg", b"\0\1\0\1\0\1"), b"iref", bytes(4)),
    "AVIF of many pieces": avif_of(b"\0\1\0\0\xff\xff" + bytes(8), b"iloc", b"\0\0\0\0\x44\0\3\xe8"),
    "AVIF of as many pixels as are allowed": lambda size: flat("AVIF") + box(b"free", bytes(size)),
    "AVIF of frames": lambda size: avif_animation(max(2, min(1000, size // 400))),
    "AVIF with an archive behind it": lambda size: AVIF + b"PK\3\4" * (size // 4),
    "TIFF of many tags": tiff_of(1000, 4),
    "TIFF of many tags that are large": tiff_of(1000, 1, 10**9),
    "BigTIFF of many tags": tiff_of(1000, 4, big=True),
    "TIFF of many strips": tiff_of_strips,
    "TIFF of as many pixels as are allowed": lambda size: flat("TIFF", compression="tiff_lzw") + bytes(size),
    "TIFF of a JPEG": lambda size: flat("TIFF", compression="jpeg") + bytes(size),
    "TIFF of floats": lambda size: flat("TIFF", "F", compression="tiff_adobe_deflate") + bytes(size),
    "ICO of many pictures": icon_of_pictures,
    "ICO of run lengths": icon_of_run_lengths,
    "TIFF of directories": tiff_of_directories,
    "JPEG 2000 of tiles": jpeg_2000_of_tiles,
    "JPEG 2000 of many boxes": jpeg_2000_of(box(b"free")),
    "JPEG 2000 of many boxes in its header": lambda size: jpeg_2000_of(box(b"jp2h", times(box(b"free"), size)))(1),
    "JPEG 2000 of markers": jpeg_2000_of_markers,
    "JPEG 2000 of as many pixels as are allowed": lambda size: flat("JPEG2000") + bytes(size),
    "JPEG XL of many boxes": lambda size: b"\0\0\0\x0cJXL \r\n\x87\n" + times(box(b"free"), size),
    "HEIC of many boxes": lambda size: box(b"ftyp", b"heic\0\0\0\0heicmif1") + times(box(b"free"), size),
    "a profile of a table": with_profile(lambda: profiles.cmyk_profile(17), "CMYK"),
    "a profile of curves": with_profile(lambda: profiles.rgb_profile(profiles.DISPLAY_P3), "RGB"),
    "a profile of long curves": with_profile(
        lambda: profiles.rgb_profile(profiles.ADOBE_RGB, profiles.ramp(30_000)), "RGB"
    ),
    "a palette of as many pixels as are allowed": lambda size: flat("PNG", "P") + bytes(size),
    "transparency of as many pixels as are allowed": lambda size: flat("PNG", "RGBA") + bytes(size),
    "sixteen bits of as many pixels as are allowed": deep_png,
}
