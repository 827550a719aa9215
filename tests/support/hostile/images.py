"""Image files whose headers, blocks or scans are many, or which promise more than they are."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Callable
from functools import lru_cache

import numpy as np
from PIL import Image

from ..bad_images import JPEG, PNG, WEBP, bmp, chunk, encoded, exif, photo, png, scan_bomb
from ..cost import Request
from .other_images import OTHER_FILES
from .request import IMAGE_ROUTES, Case, post

ONE_MB_DEFLATED = zlib.compress(bytes(1_000_000), 9)
ROWS = bytes((1 + 8 // 8) * 8)  # of a PNG of 8 × 8, one bit each


def times(part: bytes, size: int) -> bytes:
    return part * max(1, size // len(part))


def segment(marker: int, data: bytes = b"") -> bytes:
    return b"\xff" + bytes([marker]) + struct.pack(">H", len(data) + 2) + data


def jpeg(*before: bytes) -> bytes:
    return JPEG[:2] + b"".join(before) + JPEG[2:]


def png_of_chunks(kind: bytes, data: bytes) -> Callable[[int], bytes]:
    return lambda size: png(8, 8, times(chunk(kind, data), size), rows=ROWS)


def split_idat(size: int) -> bytes:
    """A PNG whose pixels come in chunks of one byte, between many empty ones."""
    data = zlib.compress(ROWS)
    chunks = b"".join(chunk(b"IDAT", data[i : i + 1]) for i in range(len(data)))
    return PNG_START + times(chunk(b"IDAT", b""), size) + chunks + chunk(b"IEND", b"")


PNG_START = png(8, 8, rows=ROWS)[:33]  # the signature and the header


def too_many_rows(size: int) -> bytes:
    """A small PNG whose data inflates to a thousand times its size, up to 400 MB."""
    packer = zlib.compressobj(9)
    data = b"".join(packer.compress(bytes(1_000_000)) for _ in range(min(400, max(1, size // 1000)))) + packer.flush()
    return PNG_START + chunk(b"IDAT", data + bytes(max(0, size - len(data)))) + chunk(b"IEND", b"")


def apng(size: int) -> bytes:
    frame = chunk(b"fcTL", struct.pack(">IIIIIHHBB", 0, 8, 8, 0, 0, 1, 1, 0, 0)) + chunk(
        b"fdAT", b"\0\0\0\1" + zlib.compress(ROWS)
    )
    count = max(1, size // len(frame))
    return PNG_START + chunk(b"acTL", struct.pack(">II", count, 0)) + frame * count + png(8, 8, rows=ROWS)[33:]


@lru_cache
def noise(width: int, height: int, **options: object) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    return encoded(Image.fromarray(pixels), "JPEG", **options)


def many_scans(size: int) -> bytes:
    one = len(scan_bomb(2)) - len(scan_bomb(1))
    return scan_bomb(max(1, size // max(1, one)))


def sixty_scans(size: int) -> bytes:
    """As many scans as are allowed, over as many pixels as are."""
    image = encoded(Image.new("L", (1990, 1990), 9), "JPEG", progressive=True)
    scans = image.split(b"\xff\xda")
    bomb = b"\xff\xda".join([*scans[:-1], *[scans[-1].removesuffix(b"\xff\xd9")] * 50]) + b"\xff\xd9"
    return bomb + bytes(max(0, size - len(bomb)))


def restart_markers(size: int) -> bytes:
    start = JPEG.index(b"\xff\xda")
    interval = segment(0xDD, struct.pack(">H", 1))
    return JPEG[:start] + interval + JPEG[start:-2] + times(b"\xff\xd0\xff\xd1\xff\xd2\xff\xd3", size) + b"\xff\xd9"


def run_length(units: bytes, width: int = 2000, height: int = 2000) -> Callable[[int], bytes]:
    """A BMP of 8 bits whose pixels are run-length coded."""

    def make(size: int) -> bytes:
        data = times(units, size) + b"\0\1"
        palette = bytes(1024)
        header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, len(data), 0, 0, 256, 0)
        offset = 14 + len(header) + len(palette)
        return b"BM" + struct.pack("<IHHI", offset + len(data), 0, 0, offset) + header + palette + data

    return make


GIF = encoded(photo((8, 8), "P"), "GIF")
GIF_START = 13 + 3 * (2 << (GIF[10] & 7)) if GIF[10] & 0x80 else 13  # header, screen and palette


def gif_of(block: bytes) -> Callable[[int], bytes]:
    return lambda size: GIF[:GIF_START] + times(block, size) + GIF[GIF_START:]


def gif_of_sub_blocks(size: int) -> bytes:
    return GIF[:GIF_START] + b"\x21\xfe" + times(b"\1a", size) + b"\0" + GIF[GIF_START:]


def gif_of_frames(size: int) -> bytes:
    return GIF[:GIF_START] + times(GIF[GIF_START:-1], size) + b";"


def webp_of(kind: bytes, data: bytes) -> Callable[[int], bytes]:
    def make(size: int) -> bytes:
        piece = kind + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)
        body = b"WEBP" + WEBP[12:] + times(piece, size)
        return b"RIFF" + struct.pack("<I", len(body)) + body

    return make


@lru_cache
def webp_animation(count: int) -> bytes:
    frames = [Image.new("RGB", (16, 16), (i % 256, i // 256, 0)) for i in range(count)]
    return encoded(frames[0], "WEBP", save_all=True, append_images=frames[1:], minimize_size=False)


def behind(image: bytes) -> Callable[[int], bytes]:
    """A good image with something else behind it."""
    return lambda size: image + b"PK\3\4" * (size // 4)


def profile_of_tags(size: int) -> bytes:
    """JPEG: a colour profile in as many segments as there are, each said to be one of 255."""
    return jpeg(times(segment(0xE2, b"ICC_PROFILE\0\1\xff" + bytes(100)), size))


EXIF = segment(0xE1, b"Exif\0\0" + exif(1))
TINY_EXIF = segment(0xE1, b"Exif\0\0")

FILES: dict[str, Callable[[int], bytes]] = {
    "PNG of many iCCP": png_of_chunks(b"iCCP", b"a\0\0" + ONE_MB_DEFLATED),
    "PNG of many zTXt": png_of_chunks(b"zTXt", b"a\0\0" + ONE_MB_DEFLATED),
    "PNG of many iTXt": png_of_chunks(b"iTXt", b"a\0\1\0\0\0" + ONE_MB_DEFLATED),
    "PNG of many tEXt": png_of_chunks(b"tEXt", b"a\0b"),
    "PNG of many empty private chunks": png_of_chunks(b"prIv", b""),
    "PNG of many eXIf": png_of_chunks(b"eXIf", exif(1)),
    "PNG of many palettes": png_of_chunks(b"PLTE", bytes(768)),
    "PNG of many tRNS": png_of_chunks(b"tRNS", bytes(2)),
    "PNG of many pHYs": png_of_chunks(b"pHYs", bytes(9)),
    "PNG of many IDAT": split_idat,
    "PNG that goes on inflating": too_many_rows,
    "PNG of many frames": apng,
    "PNG of as many pixels as are allowed": lambda size: png(2000, 1990, times(chunk(b"prIv", bytes(60_000)), size)),
    "PNG of more pixels than are allowed": lambda size: png(30_000, 30_000, times(chunk(b"prIv", bytes(60_000)), size)),
    "PNG cut": lambda size: png(2000, 1990, rows=os.urandom(min(size, 490_000)))[: size // 2],
    "JPEG of many EXIF": lambda size: jpeg(times(EXIF, size)),
    "JPEG of many empty EXIF": lambda size: jpeg(times(TINY_EXIF, size)),
    "JPEG of many empty APP0": lambda size: jpeg(times(segment(0xE0), size)),
    "JPEG of many JFIF": lambda size: jpeg(times(segment(0xE0, b"JFIF\0\1\1" + bytes(7)), size)),
    "JPEG of many APP13": lambda size: jpeg(times(segment(0xED, b"Photoshop 3.0\x008BIM" + bytes(8)), size)),
    "JPEG of many APP14": lambda size: jpeg(times(segment(0xEE, b"Adobe\0\0\0\0\0\0\0"), size)),
    "JPEG of many comments": lambda size: jpeg(times(segment(0xFE), size)),
    "JPEG of many colour profiles": profile_of_tags,
    "JPEG of many MPF": lambda size: jpeg(times(segment(0xE2, b"MPF\0" + exif(1)), size)),
    "JPEG of many quantisation tables": lambda size: jpeg(times(segment(0xDB, bytes(65)), size)),
    "JPEG of many Huffman tables": lambda size: jpeg(times(segment(0xC4, bytes(17)), size)),
    "JPEG of many frames' headers": lambda size: jpeg(times(segment(0xC0, JPEG_FRAME), size)),
    "JPEG of many restart intervals": lambda size: jpeg(times(segment(0xDD, b"\0\1"), size)),
    "JPEG of fill bytes": lambda size: jpeg(b"\xff" * size),
    "JPEG of zeros before its segments": lambda size: jpeg(bytes(size)),
    "JPEG of restart markers": restart_markers,
    "JPEG of many scans": many_scans,
    "JPEG of as many scans as are allowed": sixty_scans,
    "JPEG of noise": lambda size: noise(1600, 1200, quality=95)[: max(1000, size)],
    "BMP of run lengths": run_length(b"\1\1"),
    "BMP of lines' ends": run_length(b"\0\0"),
    "BMP of moves": run_length(b"\0\2\1\0"),
    "BMP of moves far": run_length(b"\0\2\xff\xff"),
    "BMP of literals": run_length(b"\0\3abc\0"),
    "BMP of many pixels, cut": lambda size: bmp(w18=2000, w22=1900) + bytes(size),
    "GIF of comments": gif_of(b"\x21\xfe\1a\0"),
    "GIF of empty extensions": gif_of(b"\x21\xff\0"),
    "GIF of graphic controls": gif_of(b"\x21\xf9\4\0\0\0\0\0"),
    "GIF of zero bytes between blocks": gif_of(b"\0"),
    "GIF of one long comment": gif_of_sub_blocks,
    "GIF of frames": gif_of_frames,
    "WebP of unknown chunks": webp_of(b"abcd", b""),
    "WebP of EXIF": webp_of(b"EXIF", exif(1)),
    "WebP of frames": lambda size: webp_animation(max(2, min(3000, size // 100))),
    "JPEG with an archive behind it": behind(JPEG),
    "PNG with an archive behind it": behind(PNG),
    "random bytes": lambda size: np.random.default_rng(0).bytes(size),
    "zero bytes": bytes,
    **OTHER_FILES,
}
JPEG_FRAME = JPEG[JPEG.index(b"\xff\xc0") + 4 :][:15]

# Base64 that is no image, or hardly any
WRITTEN: dict[str, Callable[[int], str]] = {
    "base64 of white space": lambda size: " \n" * (size // 2),
    "base64 with white space in it": lambda size: "\n".join(["aGVs"] * (size // 5)),
    "base64 of padding": lambda size: "=" * size,
    "a data URI without an end": lambda size: "data:image/png;" + "a=b;" * (size // 4),
    "a data URI of commas": lambda size: "data:" + "," * size,
    "a long URL": lambda size: "http://" + "a" * size,
    "a URL of dots": lambda size: "http://" + "a." * (size // 2),
    "base64 in other letters": lambda size: "é" * (size // 2),
}


def _file_case(name: str, route: str) -> Case:
    return Case(f"{route}: {name}", lambda size: IMAGE_ROUTES[route](FILES[name](_inner(size, route))))


def _inner(size: int, route: str) -> int:
    """Base64 makes four bytes of three."""
    return size if route in ("/predict", "/embeddings, raw") else size * 3 // 4


def _written_case(name: str) -> Case:
    def make(size: int) -> Request:
        text = WRITTEN[name](size).encode().replace(b"\n", b"\\n")
        return post("/embeddings", b'{"image":"' + text + b'"}')

    return Case(f"/embeddings: {name}", make)


_WRITTEN_CASES = list(map(_written_case, WRITTEN))
SHORT = [_file_case(name, route) for name, route in zip(FILES, list(IMAGE_ROUTES) * len(FILES), strict=False)]
SHORT += _WRITTEN_CASES
CASES = [_file_case(name, route) for name in FILES for route in IMAGE_ROUTES] + _WRITTEN_CASES
