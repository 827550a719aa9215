"""Files of very many parts: refused before they cost anything, and what cameras and programs write is not."""

from __future__ import annotations

import io
import struct
import time
import zlib
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
from PIL import Image

from openclip_api.checkpoints.config import PreprocessConfig
from openclip_api.errors import InvalidImage
from openclip_api.inputs.images import image_reader, image_size
from openclip_api.search.thumbnails import thumbnail

from ..support.bad_images import JPEG, PNG, chunk, encoded, photo

WEBP = encoded(photo(), "WEBP", lossless=True)
GIF = encoded(photo(mode="P"), "GIF")
GIF_START = 13 + (3 << (1 + (GIF[10] & 7)))  # the first byte behind the palette
MEGABYTE = zlib.compress(bytes(1 << 20), 9)
read = image_reader(PreprocessConfig(size=32))


def jpeg(segments: bytes) -> bytes:
    return JPEG[:2] + segments + JPEG[2:]


def segment(marker: int, data: bytes = b"") -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(data) + 2) + data


def jpeg_scanned(segments: bytes) -> bytes:
    return JPEG[:-2] + segments + JPEG[-2:]


def png(before: bytes = b"", behind: bytes = b"") -> bytes:
    return PNG[:33] + before + PNG[33:-12] + behind + PNG[-12:]


def gif(blocks: bytes) -> bytes:
    return GIF[:GIF_START] + blocks + GIF[GIF_START:]


def webp(chunks: bytes) -> bytes:
    canvas = bytes(4) + (63).to_bytes(3, "little") + (47).to_bytes(3, "little")
    body = b"WEBPVP8X" + struct.pack("<I", len(canvas)) + canvas + WEBP[12:] + chunks
    return b"RIFF" + struct.pack("<I", len(body)) + body


def run_length_bmp(width: int, height: int, codes: bytes, compression: int = 1) -> bytes:
    bits, palette = (8, bytes(range(256)) * 4) if compression == 1 else (4, bytes(range(64)))
    colours, offset = len(palette) // 4, 54 + len(palette)
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, bits, compression, len(codes), 0, 0, colours, 0)
    return b"BM" + struct.pack("<IHHI", offset + len(codes), 0, 0, offset) + header + palette + codes


def exif_directory(entries: int) -> bytes:
    listed = b"".join(struct.pack("<HHII", tag, 1, 4, 0) for tag in range(entries))
    return b"II*\0" + struct.pack("<IH", 8, entries) + listed + bytes(4)


def split(data: bytes, length: int, start: bytes) -> list[bytes]:
    return [start + data[at : at + length] for at in range(0, len(data), length)]


def exif_segments(exif: bytes) -> bytes:
    return b"".join(segment(0xE1, part) for part in split(exif, 65_000, b"Exif\0\0"))


# A file of `count` parts, by what they are. Each is read if the count is within its bound.
PARTS: list[tuple[str, int, Callable[[int], bytes]]] = [
    ("PNG, compressed profiles", 128, lambda n: png(chunk(b"iCCP", b"a\0\0" + MEGABYTE) * n)),
    ("PNG, compressed profiles behind", 128, lambda n: png(behind=chunk(b"iCCP", b"a\0\0" + MEGABYTE) * n)),
    ("PNG, compressed texts", 60, lambda n: png(chunk(b"zTXt", b"a\0\0" + MEGABYTE) * n)),
    ("PNG, compressed texts without a name", 128, lambda n: png(chunk(b"zTXt", b"\0\0" + MEGABYTE) * n)),
    ("PNG, compressed international texts", 60, lambda n: png(chunk(b"iTXt", b"a\0\1\0\0\0" + MEGABYTE) * n)),
    ("PNG, tiny texts", 99_000, lambda n: png(chunk(b"tEXt", b"a\0b") * n)),
    ("PNG, tiny texts behind", 99_000, lambda n: png(behind=chunk(b"tEXt", b"a\0b") * n)),
    ("PNG, unknown chunks", 99_000, lambda n: png(chunk(b"abCd", b"") * n)),
    ("PNG, empty pixel data", 99_000, lambda n: png(chunk(b"IDAT", b"") * n)),
    ("JPEG, empty APP0", 4000, lambda n: jpeg(segment(0xE0) * n)),
    ("JPEG, comments", 4000, lambda n: jpeg(segment(0xFE, b"a") * n)),
    ("JPEG, tiny EXIF", 4000, lambda n: jpeg(segment(0xE1, b"Exif\0\0ab") * n)),
    ("JPEG, restart markers", 4000, lambda n: jpeg(b"\xff\xd0" * n)),
    ("JPEG, segments behind the scan", 4000, lambda n: jpeg_scanned(segment(0xFE) * n)),
    ("JPEG, tables", 60, lambda n: jpeg(segment(0xDB, (b"\0" + bytes([1]) * 64) * 1000) * n)),
    ("JPEG, Photoshop's", 128, lambda n: jpeg(segment(0xED, b"Photoshop 3.0\0" + b"8BIM\4\4" + bytes(6) * 5000) * n)),
    ("JPEG, fill bytes", 99_000, lambda n: JPEG[:2] + b"\xff" * n + JPEG[2:]),
    ("JPEG, other bytes", 99_000, lambda n: jpeg(segment(0xE0) + bytes(n))),
    ("JPEG, other bytes to the end", 99_000, lambda n: JPEG[:20] + bytes(n)),
    ("JPEG, fill bytes to the end", 99_000, lambda n: JPEG[:20] + b"\xff" * n),
    ("JPEG, entries of EXIF", 21_000, lambda n: jpeg(exif_segments(exif_directory(min(n, 65_535))))),
    ("GIF, a comment's blocks", 99_000, lambda n: gif(b"!\xfe" + b"\1a" * n + b"\0")),
    ("GIF, extensions", 49_000, lambda n: gif(b"!\1\1a\0" * n)),
    ("GIF, other bytes", 99_000, lambda n: gif(b"\1" * n)),
    ("GIF, behind an empty block", 99_000, lambda n: gif(b"!\1\0" + b"\1," * n + b"\0")),
    ("GIF, behind a loop's end", 99_000, lambda n: gif(b"!\xff\x0bNETSCAPE2.0\0" + b"\1," * n + b"\0")),
    ("WebP, chunks", 99_000, lambda n: webp((b"ABCD" + bytes(4)) * n)),
    ("BMP, run-length codes without pixels", 1_000_000, lambda n: run_length_bmp(60, 40, b"\5\0" * n)),
]
BMPS = [
    ("runs of one pixel", partial(run_length_bmp, 1400, 1400, b"\1\0" * 1400 * 1400)),
    ("lines without codes", partial(run_length_bmp, 1400, 1400, b"\1\0\0\0" * 1400)),
    ("pairs of pixels", partial(run_length_bmp, 1400, 1400, (b"\xff\x12" * 5 + b"\x7d\x12\0\0") * 1400, 2)),
]


def cpu_seconds(do: Callable[[], object]) -> float:
    started = time.thread_time()
    do()
    return time.thread_time() - started


@pytest.mark.parametrize(("make", "within"), [pytest.param(make, n, id=name) for name, n, make in PARTS])
def test_more_parts_than_any_picture_has_are_refused_at_once(make: Callable[[int], bytes], within: int):
    data = make(20 * within)

    def refused() -> None:
        for use in (read, image_size, partial(thumbnail, max_megapixels=40)):
            with pytest.raises(InvalidImage, match=r"more than|Too much memory"):
                use(data)

    assert cpu_seconds(refused) < 1.5


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*:UserWarning")
@pytest.mark.parametrize(("make", "within"), [pytest.param(make, n, id=name) for name, n, make in PARTS])
def test_the_worst_file_within_the_bounds_costs_little(make: Callable[[int], bytes], within: int):
    data = make(within)

    def readable() -> None:
        try:
            read(data)
        except InvalidImage as error:  # a run-length BMP without pixels, for one
            assert "more than" not in error.message  # noqa: PT017

    assert cpu_seconds(readable) < 3


@pytest.mark.slow
@pytest.mark.parametrize("make", [pytest.param(make, id=name) for name, make in BMPS])
def test_run_length_bmps_are_read_up_to_a_screens_size(make: Callable[[], bytes]):
    def either() -> None:
        try:
            read(make())
        except InvalidImage as error:
            assert "run-length" in error.message or "not enough image data" in error.message  # noqa: PT017

    assert cpu_seconds(either) < 4
    with pytest.raises(InvalidImage, match="pixels in run-length codes"):
        read(run_length_bmp(2000, 2000, b"\0\0" * 2000))


def noise(width: int, height: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8))


def gainmap_photo() -> bytes:
    """Two JPEGs in one file, as phones write their HDR photos."""
    return encoded(noise(400, 300), "MPO", save_all=True, append_images=[noise(100, 75)])


def extended_xmp(length: int) -> bytes:
    return b"".join(
        segment(0xE1, part) for part in split(bytes(length), 65_000, b"http://ns.adobe.com/xmp/extension/\0")
    )


def small_idats() -> bytes:
    rows = zlib.compress(bytes((64 * 3 + 1) * 48), 0)
    return PNG[:33] + b"".join(chunk(b"IDAT", part) for part in split(rows, 64, b"")) + PNG[-12:]


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(make, id=name)
        for name, make in {
            "MPO with two pictures": gainmap_photo,
            "JPEG, 10 MB of extended XMP": lambda: jpeg(extended_xmp(10_000_000)),
            "JPEG, a colour profile of 3 MB": lambda: encoded(photo(), "JPEG", icc_profile=bytes(3_000_000)),
            "JPEG, EXIF of 64 KB": lambda: jpeg(segment(0xE1, b"Exif\0\0" + exif_directory(5) + bytes(65_000))),
            "JPEG, progressive": lambda: encoded(noise(300, 200), "JPEG", progressive=True),
            "JPEG, a restart in each row": lambda: encoded(noise(600, 2000), "JPEG", restart_marker_rows=1),
            "JPEG, CMYK": lambda: encoded(noise(30, 20).convert("CMYK"), "JPEG"),
            "PNG, a text of 500 KB": lambda: png(chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + b"a" * 500_000)),
            "PNG, a compressed text of 1 MB": lambda: png(chunk(b"zTXt", b"a\0\0" + MEGABYTE)),
            "PNG, pixel data in chunks of 64 bytes": small_idats,
            "GIF, XMP of 1 MB": lambda: gif(b"!\xff\x0bXMP DataXMP" + (b"\x60" + b"a" * 96) * 10_000 + b"\0"),
            "WebP, metadata": lambda: webp(b"EXIF" + struct.pack("<I", 60_000) + bytes(60_000)),
            "WebP, with zeros behind it": lambda: WEBP + bytes(2_000_000),
        }.items()
    ],
)
def test_what_cameras_and_programs_write_is_read(make: Callable[[], bytes]):
    data = make()
    expected = np.asarray(Image.open(io.BytesIO(data)).resize((32, 32), Image.Resampling.BICUBIC).convert("RGB"))
    squashed = image_reader(PreprocessConfig(size=32, resize_mode="squash"))(data)
    np.testing.assert_array_equal(squashed.pixels, expected)
