"""Image files of every mode and format, made from one picture."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from functools import partial

import numpy as np
import skimage.data
from PIL import Image

Picture = Image.Image


def photograph(width: int, height: int, piece: int = 0) -> Picture:
    """A piece of NASA's portrait of Eileen Collins (public domain; scikit-image, data.astronaut)."""
    left, top = piece * 83 % 310, piece * 137 % 310
    return Image.fromarray(skimage.data.astronaut()).crop((left, top, left + 200, top + 200)).resize((width, height))


def noise(width: int, height: int, seed: int = 0) -> Picture:
    return Image.fromarray(np.random.RandomState(seed).randint(0, 256, (height, width, 3)).astype(np.uint8))


def with_alpha(picture: Picture) -> Picture:
    """Transparent to opaque from left to right, with colours that differ below what is transparent."""
    alpha = np.tile(np.linspace(0, 255, picture.width).astype(np.uint8), (picture.height, 1))
    rgba = picture.convert("RGBA")
    rgba.putalpha(Image.fromarray(alpha))
    return rgba


def files(width: int, height: int) -> dict[str, bytes]:
    """Name with extension → a picture in that mode and format, each another piece."""
    makers = sorted({**JPEGS, **PNGS, **OTHERS}.items())
    return {name: make(photograph(width, height, piece)) for piece, (name, make) in enumerate(makers)}


def saved(picture: Picture, file_format: str, mode: str | None = None, **options: object) -> bytes:
    buffer = io.BytesIO()
    (picture.convert(mode) if mode else picture).save(buffer, file_format, **options)
    return buffer.getvalue()


def frames(picture: Picture) -> list[Picture]:
    """What follows the picture in an animation: unlike the first frame."""
    return [picture.rotate(180), picture.point(lambda value: 255 - value)]


def exif_rotated(picture: Picture) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6  # Orientation: turn by 90 degrees to show
    return saved(picture, "JPEG", exif=exif)


def ycck(picture: Picture) -> bytes:
    """Pillow writes CMYK; the Adobe marker's last byte says that the same numbers are YCCK."""
    data = bytearray(saved(picture, "JPEG", "CMYK"))
    data[data.index(b"Adobe") + 11] = 2
    return bytes(data)


def paletted(picture: Picture, colors: int = 64) -> Picture:
    return picture.quantize(colors)


def palette_with_alpha(picture: Picture) -> bytes:
    return saved(paletted(picture), "PNG", transparency=bytes(range(0, 256, 4)))


def deep_png(picture: Picture, mode: str) -> bytes:
    """16 bits per channel, which Pillow reads and does not write."""
    color_type = {"RGB": 2, "LA": 4, "RGBA": 6}[mode]
    pixels = np.asarray(with_alpha(picture).convert(mode)).astype(np.uint16) * 251 + 77
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", picture.width, picture.height, 16, color_type, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(rows, 9)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, body) for kind, body in chunks)


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def sixteen_bit_grey(picture: Picture) -> bytes:
    values = np.asarray(picture.convert("L")).astype(np.uint16) * 257
    return saved(Image.fromarray(values), "PNG")


def animated(picture: Picture, file_format: str, **options: object) -> bytes:
    return saved(picture, file_format, save_all=True, append_images=frames(picture), duration=80, **options)


Maker = Callable[[Picture], bytes]

JPEGS: dict[str, Maker] = {
    "rgb.jpg": partial(saved, file_format="JPEG"),
    "rgb_444.jpg": partial(saved, file_format="JPEG", subsampling=0, quality=95),
    "progressive.jpg": partial(saved, file_format="JPEG", progressive=True),
    "grey.jpg": partial(saved, file_format="JPEG", mode="L"),
    "cmyk.jpg": partial(saved, file_format="JPEG", mode="CMYK"),
    "ycck.jpg": ycck,
    "exif_rotated.jpg": exif_rotated,
    "trailing_bytes.jpg": lambda picture: saved(picture, "JPEG") + b"\0" * 50,
    "mpo.jpg": lambda picture: saved(picture, "MPO", save_all=True, append_images=frames(picture)[:1]),
}

PNGS: dict[str, Maker] = {
    "rgb.png": partial(saved, file_format="PNG"),
    "rgba.png": lambda picture: saved(with_alpha(picture), "PNG"),
    "grey.png": partial(saved, file_format="PNG", mode="L"),
    "grey_alpha.png": lambda picture: saved(with_alpha(picture).convert("LA"), "PNG"),
    "bilevel.png": partial(saved, file_format="PNG", mode="1"),
    "palette.png": lambda picture: saved(paletted(picture), "PNG"),
    "palette_4_colors.png": lambda picture: saved(paletted(picture, 4), "PNG", bits=2),
    "palette_one_transparent.png": lambda picture: saved(paletted(picture), "PNG", transparency=3),
    "palette_alpha.png": palette_with_alpha,
    "rgb_transparent_color.png": lambda picture: saved(picture, "PNG", transparency=picture.getpixel((0, 0))),
    "grey_transparent_level.png": lambda picture: saved(picture.convert("L"), "PNG", transparency=128),
    "grey_16_bit.png": sixteen_bit_grey,
    "grey_alpha_16_bit.png": partial(deep_png, mode="LA"),
    "rgb_16_bit.png": partial(deep_png, mode="RGB"),
    "rgba_16_bit.png": partial(deep_png, mode="RGBA"),
    "animated.png": partial(animated, file_format="PNG"),
}

OTHERS: dict[str, Maker] = {
    "palette.gif": lambda picture: saved(paletted(picture), "GIF"),
    "transparent.gif": lambda picture: saved(paletted(picture), "GIF", transparency=3),
    "grey.gif": partial(saved, file_format="GIF", mode="L"),
    "animated.gif": lambda picture: animated(paletted(picture), "GIF", disposal=2),
    "rgb.webp": partial(saved, file_format="WEBP"),
    "rgba_lossless.webp": lambda picture: saved(with_alpha(picture), "WEBP", lossless=True),
    "animated.webp": partial(animated, file_format="WEBP"),
    "rgb.bmp": partial(saved, file_format="BMP"),
    "grey.bmp": partial(saved, file_format="BMP", mode="L"),
    "bilevel.bmp": partial(saved, file_format="BMP", mode="1"),
    "palette.bmp": lambda picture: saved(paletted(picture), "BMP"),
}
