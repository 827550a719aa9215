"""Image files that are wrong, odd or hostile, made on the spot."""

from __future__ import annotations

import io
import pickle
import struct
import tarfile
import zipfile
import zlib
from typing import Any

import numpy as np
from PIL import Image

GOOD, WRONG, LARGE = {200}, {422}, {413}
EITHER = {200, 422}


def encoded(image: Image.Image, format: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def photo(size: tuple[int, int] = (64, 48), mode: str = "RGB") -> Image.Image:
    pixels = np.arange(size[0] * size[1] * 3, dtype=np.uint32) * 7 % 251
    return Image.fromarray(pixels.astype(np.uint8).reshape(size[1], size[0], 3)).convert(mode)


def chunk(kind: bytes, data: bytes, crc: int | None = None) -> bytes:
    checksum = zlib.crc32(kind + data) if crc is None else crc
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)


def png(width: int, height: int, *before: bytes, rows: bytes | None = None, depth: int = 1, colour: int = 0) -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    data = zlib.compress(rows if rows is not None else bytes(min((1 + (width + 7) // 8) * height, 8_000_000)), 9)
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(before) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def jpeg_with_exif(exif: bytes) -> bytes:
    return encoded(photo(), "JPEG", exif=b"Exif\0\0" + exif)


def exif(orientation: int, following: int = 0) -> bytes:
    entry = struct.pack("<HHIHH", 0x0112, 3, 1, orientation, 0)
    return b"II*\0" + struct.pack("<IH", 8, 1) + entry + struct.pack("<I", following)


def scan_bomb(count: int) -> bytes:
    """A progressive JPEG that goes over the same coefficients some thousand times."""
    image = encoded(Image.new("L", (1400, 1400), 9), "JPEG", progressive=True)
    scans = image.split(b"\xff\xda")
    return b"\xff\xda".join([*scans[:-1], *[scans[-1].removesuffix(b"\xff\xd9")] * count]) + b"\xff\xd9"


def frames(count: int, format: str) -> bytes:
    return encoded(photo((8, 8), "P" if format == "GIF" else "RGB"), format, save_all=True, append_images=[
        photo((8, 8)).point(lambda value, i=i: (value + i) % 256) for i in range(count)
    ])  # fmt: skip


def gif(width: int, height: int) -> bytes:
    return b"GIF89a" + struct.pack("<HH", width, height) + encoded(photo((8, 8), "P"), "GIF")[10:]


def bmp(**changes: int) -> bytes:
    """BITMAPINFOHEADER fields by offset: w18 h22 compression30."""
    data = bytearray(encoded(photo(), "BMP"))
    for name, value in changes.items():
        struct.pack_into("<i", data, int(name[1:]), value)
    return bytes(data)


def archive(kind: str) -> bytes:
    file = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("a.png", "x")
    elif kind == "tar":
        with tarfile.open(fileobj=file, mode="w") as archive:
            archive.addfile(tarfile.TarInfo("a.png"))
    elif kind == "npy":
        np.save(file, np.zeros(3))
    return file.getvalue()


class Touch:
    """What unpickling would run."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (open, ("/tmp/openclip-unpickled", "w"))


JPEG = encoded(photo(), "JPEG")
PNG = encoded(photo(), "PNG")
WEBP = encoded(photo(), "WEBP", lossless=True)
SVG = b"<svg xmlns='http://www.w3.org/2000/svg'><image href='file:///etc/passwd'/></svg>"
LAUGHS = b"<!DOCTYPE a [<!ENTITY a 'ha'><!ENTITY b '&a;&a;&a;&a;'>]><svg>&b;</svg>"
EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n(/tmp/x) (w) file\n"

MEGABYTE = zlib.compress(bytes(1 << 20), 9)
ZEROS = zlib.compress(bytes(20_000_000), 9)
THIN = [(1, 1), (1, 2), (2, 1), (1, 100)]
TOO_THIN = [(1, 101), (1, 50_000), (50_000, 1)]
OTHER_FORMATS = ["TGA", "PPM", "PCX", "DDS", "JPEG2000", "SGI"]

IMAGES: list[tuple[str, bytes, set[int]]] = [
    ("random bytes", np.random.default_rng(0).bytes(5000), WRONG),
    ("zero bytes", bytes(1000), WRONG),
    ("text", b"not an image at all", WRONG),
    *[(f"JPEG cut at byte {n}", JPEG[:n], WRONG) for n in range(1, 200, 7)],
    *[(f"JPEG cut at {share} %", JPEG[: len(JPEG) * share // 100], WRONG) for share in (50, 90, 99)],
    ("JPEG cut in its pixels, with an end marker", JPEG[: len(JPEG) * 9 // 10] + b"\xff\xd9", GOOD),  # as in open_clip
    ("PNG with a bad checksum", png(8, 8, chunk(b"tEXt", b"a\0b", crc=1)), WRONG),
    ("PNG whose data has a bad checksum", PNG[:60] + bytes([PNG[60] ^ 1]) + PNG[61:], WRONG),
    ("PNG without an end", PNG[:-12], EITHER),
    ("PNG cut in its data", PNG[: len(PNG) // 2], WRONG),
    *[(f"{mode} JPEG", encoded(photo(mode=mode), "JPEG"), GOOD) for mode in ("L", "CMYK", "YCbCr")],
    *[(f"{mode} PNG", encoded(photo(mode="I").convert(mode), "PNG"), GOOD) for mode in ("I;16",)],
    *[(f"{mode} PNG", encoded(photo(mode=mode), "PNG"), GOOD) for mode in ("1", "L", "LA", "P", "RGB", "RGBA")],
    ("all transparent", encoded(Image.new("RGBA", (9, 9), (255, 0, 0, 0)), "PNG"), GOOD),
    *[(f"orientation {n}", jpeg_with_exif(exif(n)), GOOD) for n in (1, 3, 6, 8, 0, 9, 65535)],
    ("EXIF that points at itself", jpeg_with_exif(exif(1, following=8)), GOOD),
    ("EXIF of nonsense", jpeg_with_exif(b"II*\0\xff\xff\xff\xff" + bytes(60_000)), GOOD),
    *[(f"{size[0]} x {size[1]}", encoded(photo(size), "PNG"), GOOD) for size in THIN],
    *[(f"{size[0]} x {size[1]}", encoded(photo(size), "PNG"), WRONG) for size in TOO_THIN],
    ("0 x 0", png(0, 0), WRONG),
    ("0 x 5", png(0, 5), WRONG),
    ("all sizes at their highest", png(0xFFFFFFFF, 0xFFFFFFFF), {413, 422}),
    ("2^31 - 1 squared", png(0x7FFFFFFF, 0x7FFFFFFF), {413, 422}),
    ("a bomb of 900 megapixels", png(30_000, 30_000), LARGE),
    ("20 MB of compressed text", png(8, 8, chunk(b"zTXt", b"a\0\0" + ZEROS)), EITHER),
    ("20 MB of colour profile", png(8, 8, chunk(b"iCCP", b"a\0\0" + ZEROS)), EITHER),
    ("PNG of 2,000 colour profiles", png(8, 8, chunk(b"iCCP", b"a\0\0" + MEGABYTE) * 2000), WRONG),
    ("JPEG of 2 million empty segments", JPEG[:2] + b"\xff\xe0\0\2" * 2_000_000 + JPEG[2:], WRONG),
    ("a colour profile of nonsense", encoded(photo(), "JPEG", icc_profile=b"nonsense" * 100), GOOD),
    ("GIF of 500 frames", frames(500, "GIF"), GOOD),
    ("WebP of 100 frames", frames(100, "WEBP"), GOOD),
    ("APNG of 100 frames", frames(100, "PNG"), GOOD),
    ("GIF on a huge screen", gif(65535, 65535), LARGE),
    ("TIFF", encoded(photo(), "TIFF"), WRONG),
    ("BMP from the top", bmp(w22=-48), EITHER),
    ("BMP of the greatest size", bmp(w18=0x7FFFFFFF, w22=0x7FFFFFFF), {413, 422}),
    ("BMP of negative width", bmp(w18=-64), WRONG | LARGE),
    ("BMP said to be run-length coded", bmp(w30=1), WRONG),
    ("ICO", encoded(photo(), "ICO"), WRONG),
    ("WebP, lossless", WEBP, GOOD),
    ("WebP with alpha", encoded(photo(mode="RGBA"), "WEBP"), GOOD),
    ("WebP with a bad size", WEBP[:20] + b"\xff\xff\xff\xff" + WEBP[24:], EITHER | {413}),
    ("AVIF", b"\0\0\0\x20ftypavif\0\0\0\0avifmif1miafMA1B" + bytes(100), WRONG),
    ("HEIC", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100), WRONG),
    *[("SVG", text, WRONG) for text in (SVG, LAUGHS)],
    *[("a document", data, WRONG) for data in (EPS, b"%PDF-1.7\n", b"8BPS\0\1" + bytes(50))],
    *[(format, encoded(photo(), format), WRONG) for format in OTHER_FORMATS],
    ("MSP", encoded(photo(mode="1"), "MSP"), WRONG),
    ("JPEG with a ZIP behind it", JPEG + archive("zip"), GOOD),
    ("PNG with a program behind it", PNG + b"\x7fELF" + bytes(100), GOOD),
    ("GIF that is a script", b"GIF89a/*" + bytes(20) + b"*/=1;alert(1)", WRONG),
    ("PDF with a JPEG in it", b"%PDF-1.7\n" + JPEG, WRONG),
    *[(kind, archive(kind), WRONG) for kind in ("zip", "tar", "npy")],
    ("pickle", pickle.dumps(Touch()), WRONG),
    ("safetensors", struct.pack("<Q", 2) + b"{}", WRONG),
    ("JPEG of 1,500 scans", scan_bomb(1500), WRONG),
    ("JPEG, said to be arithmetic coded", JPEG.replace(b"\xff\xc0", b"\xff\xc9", 1), EITHER),
    ("JPEG, lossless", JPEG.replace(b"\xff\xc0", b"\xff\xc3", 1), WRONG),
    ("JPEG of 12 bits", JPEG.replace(b"\xff\xc0\x00\x11\x08", b"\xff\xc0\x00\x11\x0c", 1), WRONG),
    ("JPEG XL", b"\xff\x0a" + bytes(100), WRONG),
    ("one colour", encoded(Image.new("RGB", (32, 32), (7, 7, 7)), "PNG"), GOOD),
]  # fmt: skip
