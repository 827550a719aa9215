"""The same picture in each format and kind: read alike, whatever the file; and each format's bounds."""

from __future__ import annotations

import io
import struct
import tempfile
from collections.abc import Iterator
from contextlib import closing

import numpy as np
import pytest
from PIL import Image

from openclip_api import Embedder, load
from openclip_api.checkpoints.config import PreprocessConfig
from openclip_api.errors import InvalidImage, InvalidSetting, MissingExtra, TooLarge
from openclip_api.inputs import formats
from openclip_api.inputs.formats import FORMATS, chosen_formats, format_of, installed_formats
from openclip_api.inputs.images import image_reader, image_size
from openclip_api.settings import read_settings

from ..golden import GOLDEN
from ..support import profiles
from ..support.bad_images import encoded

KEPT = {path.name: path.read_bytes() for path in sorted((GOLDEN / "formats").iterdir())}
ISO = (".avif", ".heic")
ALL = installed_formats()
natural = image_reader(PreprocessConfig(size=24, resize_mode="squash"), 40, False, "natural", ALL)
open_clip = image_reader(PreprocessConfig(size=24, resize_mode="squash"), 40, False, "open_clip", ALL)


def opened(name: str) -> Image.Image:
    return Image.open(io.BytesIO(KEPT[name]))


PICTURE = opened("plain.png").convert("RGB")
ON_WHITE = Image.new("RGBA", PICTURE.size, "white")
ON_WHITE.alpha_composite(opened("alpha.png"))


def deep_tiff(scale: int, dtype: str) -> bytes:
    grey = np.asarray(PICTURE.convert("L")).astype(dtype)
    return encoded(Image.fromarray((grey * scale).astype(dtype)), "TIFF")


def negative_tiff() -> bytes:
    values = 65535 - np.asarray(PICTURE.convert("L")).astype(np.uint16) * 257
    return encoded(Image.fromarray(values), "TIFF", tiffinfo={262: 0})


def float_tiff() -> bytes:
    return encoded(Image.fromarray(np.asarray(PICTURE.convert("L")).astype(np.float32) / 255), "TIFF")


def tiff(**options: object) -> bytes:
    return encoded(PICTURE, "TIFF", **options)


def turned_tiff() -> bytes:
    return encoded(PICTURE.transpose(Image.Transpose.ROTATE_90), "TIFF", tiffinfo={274: 6})


def run_lengths() -> bytes:
    """A BMP of runs of one pixel each."""
    image = PICTURE.quantize(256)
    rows = np.asarray(image)[::-1]
    codes = b"".join(b"".join(bytes((1, value)) for value in row) + b"\0\0" for row in rows) + b"\0\1"
    palette = np.zeros((256, 4), np.uint8)
    colours = np.array(image.getpalette(), np.uint8).reshape(-1, 3)
    palette[: len(colours), :3] = colours[:, ::-1]
    header = struct.pack("<IiiHHIIiiII", 40, *image.size, 1, 8, 1, len(codes), 0, 0, 256, 0)
    return b"BM" + struct.pack("<IHHI", 54 + 1024 + len(codes), 0, 0, 54 + 1024) + header + palette.tobytes() + codes


def jpeg_xl(image: Image.Image, **options: object) -> bytes:
    return encoded(image, "JXL", **options) if "JXL" in ALL else b""


def packed_jpeg() -> bytes:
    """A JPEG that can be had back from the JPEG XL as it was; the codestream says how it is turned, and EXIF too."""
    if "JXL" not in ALL:
        return b""
    jpeg = encoded(PICTURE.transpose(Image.Transpose.ROTATE_90), "JPEG", quality=95, exif=TURNED)
    with tempfile.NamedTemporaryFile(suffix=".jpg") as file:
        file.write(jpeg)
        file.flush()
        return encoded(Image.open(file.name), "JXL", lossless_jpeg=True)


EXIF = Image.Exif()
EXIF[0x0112] = 6
TURNED = EXIF.tobytes()
ON_ITS_SIDE = PICTURE.transpose(Image.Transpose.ROTATE_90)
SQUARE = PICTURE.resize((64, 64))
GREY, PALETTE = PICTURE.convert("L"), PICTURE.quantize(256).convert("RGB")
LOSSLESS = {
    "interlaced PNG": (KEPT["interlaced.png"], PICTURE),
    "lossless JPEG": (KEPT["lossless.jpg"], PICTURE),
    "TIFF": (tiff(), PICTURE),
    "TIFF, LZW": (tiff(compression="tiff_lzw"), PICTURE),
    "TIFF, Deflate": (tiff(compression="tiff_adobe_deflate"), PICTURE),
    "TIFF, PackBits": (tiff(compression="packbits"), PICTURE),
    "TIFF, several pages": (tiff(save_all=True, append_images=[PICTURE.rotate(180)]), PICTURE),
    "BigTIFF": (tiff(big_tiff=True), PICTURE),
    "TIFF, turned": (turned_tiff(), PICTURE),
    "TIFF, 16 bits": (deep_tiff(257, "uint16"), GREY),
    "TIFF, floats": (float_tiff(), GREY),
    "TIFF, palette": (encoded(PICTURE.quantize(256), "TIFF"), PALETTE),
    "TIFF, alpha": (encoded(opened("alpha.png"), "TIFF"), ON_WHITE),
    "JPEG XL": (jpeg_xl(PICTURE, lossless=True), PICTURE),
    "JPEG XL with alpha": (jpeg_xl(opened("alpha.png"), lossless=True), ON_WHITE),
    "JPEG XL, turned by EXIF": (jpeg_xl(ON_ITS_SIDE, lossless=True, exif=TURNED), PICTURE),
    "JPEG 2000": (encoded(PICTURE, "JPEG2000", irreversible=False), PICTURE),
    "JPEG 2000, a codestream alone": (encoded(PICTURE, "JPEG2000", no_jp2=True), PICTURE),
    "ICO": (encoded(PICTURE, "ICO", sizes=[PICTURE.size]), PICTURE),
    "ICO with alpha": (encoded(opened("alpha.png"), "ICO", sizes=[PICTURE.size]), ON_WHITE),
    "ICO of a BMP": (encoded(SQUARE, "ICO", sizes=[SQUARE.size], bitmap_format="bmp"), SQUARE),
    "BMP of run lengths": (run_lengths(), PALETTE),
    "WebP, lossless": (encoded(PICTURE, "WEBP", lossless=True), PICTURE),
    "GIF": (encoded(PICTURE.quantize(256), "GIF"), PALETTE),
    "APNG": (encoded(PICTURE, "PNG", save_all=True, append_images=[PICTURE.rotate(180)]), PICTURE),
    "WebP, animated": (
        encoded(PICTURE, "WEBP", lossless=True, save_all=True, append_images=[PICTURE.rotate(180)]), PICTURE,
    ),
}  # fmt: skip
LOSSLESS["TIFF, 16 bits, white is zero"] = (negative_tiff(), GREY)
LOSSY = {
    "JPEG": (encoded(PICTURE, "JPEG", quality=95), PICTURE),
    "arithmetic JPEG": (KEPT["arithmetic.jpg"], PICTURE),
    "MPO": (encoded(PICTURE, "MPO", quality=95, save_all=True, append_images=[PICTURE.rotate(180)]), PICTURE),
    "WebP": (encoded(PICTURE, "WEBP", quality=95), PICTURE),
    "JPEG XL, lossy": (jpeg_xl(PICTURE), PICTURE),
    "JPEG XL of a turned JPEG": (packed_jpeg(), PICTURE),
    "TIFF of a JPEG": (tiff(compression="jpeg", quality=95), PICTURE),
    "TIFF, YCbCr": (encoded(PICTURE.convert("YCbCr"), "TIFF"), PICTURE),
    "TIFF, Lab": (encoded(profiles.in_lab(PICTURE), "TIFF"), PICTURE),
    "grid AVIF": (KEPT["grid.avif"], PICTURE),
    **{name: (data, ON_WHITE if "alpha" in name else PICTURE) for name, data in KEPT.items() if name.endswith(ISO)},
}  # fmt: skip
NEEDS = {".heic": "HEIF", "JPEG XL": "JXL"}  # by what a kind's name has in it


def kinds(of: dict[str, tuple[bytes, Image.Image]]) -> list[object]:
    missing = {name for name in of if any(part in name and NEEDS[part] not in ALL for part in NEEDS)}
    skip = pytest.mark.skip(reason="its extra is not installed")
    return [pytest.param(*of[name], id=name, marks=skip if name in missing else ()) for name in of]


@pytest.fixture(scope="module")
def embedder() -> Iterator[Embedder]:
    with closing(load("emoji", precision="fp32")) as embedder:
        yield embedder


def cosine(embedder: Embedder, data: bytes, expected: Image.Image) -> float:
    one, other = embedder.embed_images([data, encoded(expected.convert("RGB"), "PNG")], normalize=True)
    return float(one @ other)


@pytest.mark.parametrize(("data", "expected"), kinds(LOSSLESS))
def test_lossless_kinds(embedder: Embedder, data: bytes, expected: Image.Image):
    plain = encoded(expected.convert("RGB"), "PNG")
    assert np.abs(natural(data).pixels.astype(int) - natural(plain).pixels).max() <= 3
    assert cosine(embedder, data, expected) > 0.9999


@pytest.mark.parametrize(("data", "expected"), kinds(LOSSY))
def test_lossy_kinds(embedder: Embedder, data: bytes, expected: Image.Image):
    plain = encoded(expected.convert("RGB"), "PNG")
    assert np.abs(natural(data).pixels.astype(int) - natural(plain).pixels).mean() <= 4
    assert cosine(embedder, data, expected) > 0.99


@pytest.mark.parametrize(("data", "expected"), kinds({**LOSSLESS, **LOSSY}))
def test_open_clips_reading_is_pillows_own(data: bytes, expected: Image.Image):
    image = Image.open(io.BytesIO(data), formats=[name for name in ALL if name != "RAW"])
    if image.mode in ("F", "LAB"):
        return
    pixels = np.asarray(image.resize((24, 24), Image.Resampling.BICUBIC).convert("RGB"))
    np.testing.assert_array_equal(open_clip(data).pixels, pixels)


@pytest.mark.parametrize("data", [pytest.param(KEPT["twelve_bits.jpg"], id="JPEG of 12 bits")])
def test_kinds_that_are_not_read(data: bytes):
    with pytest.raises(InvalidImage, match="it starts like JPEG, but is damaged or of a rare kind"):
        natural(data)


@pytest.mark.parametrize("bits", [12, 10])
def test_fewer_than_sixteen_bits_in_a_tiff(bits: int):
    """Twelve bits fill their own range: their white is 4095."""
    width = 8
    values = [(1 << bits) - 1] * 4 + [0] * 4
    row = int("".join(f"{value:0{bits}b}" for value in values), 2).to_bytes(width * bits // 8, "big")
    data = row * 8
    entries = [(256, 4, 8), (257, 4, 8), (258, 3, bits), (259, 3, 1), (262, 3, 1), (273, 4, 8 + 2 + 12 * 9 + 4),
               (277, 3, 1), (278, 4, 8), (279, 4, len(data))]  # fmt: skip
    directory = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in entries)
    made = b"II*\0" + struct.pack("<IH", 8, len(entries)) + directory + bytes(4) + data
    if bits == 10:
        with pytest.raises(InvalidImage):
            natural(made)
        return
    pixels = natural(made).pixels
    assert (pixels[:, :8] > 250).all()
    assert (pixels[:, 16:] < 5).all()


# --- The table -----------------------------------------------------------------------------------------------------


def test_each_format_is_known_by_its_first_bytes():
    files = {**LOSSLESS, **LOSSY}
    for name, format in (("TIFF", "TIFF"), ("BigTIFF", "TIFF"), ("JPEG 2000", "JPEG2000"), ("ICO", "ICO"),
                         ("MPO", "JPEG"), ("plain.avif", "AVIF"), ("animated.avif", "AVIF"), ("plain.heic", "HEIF"),
                         ("GIF", "GIF"), ("WebP", "WEBP"), ("BMP of run lengths", "BMP"), ("APNG", "PNG")):  # fmt: skip
        found = format_of(files[name][0])
        assert found is not None
        assert found.name == format


def test_a_file_of_boxes_is_what_its_brands_say():
    """Some AVIF files call themselves mif1 first, as HEIC files do."""
    renamed = KEPT["plain.avif"].replace(b"ftypavif", b"ftypmif1", 1)
    assert b"avif" in renamed[:40]
    assert np.abs(natural(renamed).pixels.astype(int) - natural(KEPT["plain.avif"]).pixels).max() == 0
    assert np.abs(image_reader(PreprocessConfig(size=24, resize_mode="squash"))(renamed).pixels).max() > 0


def test_suffixes_and_names_are_each_one_format_s():
    names = [name for format in FORMATS for name in (format.name, *format.aliases)]
    suffixes = [suffix for format in FORMATS for suffix in format.suffixes]
    assert len(set(names)) == len(names)
    assert len(set(suffixes)) == len(suffixes)


def test_the_docs_list_each_format_with_its_suffixes():
    page = (GOLDEN.parents[1] / "docs" / "api.md").read_text()
    for format in FORMATS:
        row = next(line for line in page.splitlines() if line.startswith(f"| {format.name}"))
        assert f"| `{' '.join(format.suffixes)}` |" in row
        assert (format.extra is None) == ("Pillow |" in row)
        assert ("by default" in row) == format.is_safe


def test_a_format_without_its_decoder(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(formats, "is_installed", lambda name: name != "HEIF")
    with pytest.raises(MissingExtra, match=r"no decoder for HEIF: pip install 'openclip-api\[heic\]'"):
        chosen_formats(["heic"])
    with pytest.raises(InvalidImage, match=r"but HEIC: to read these, pip install 'openclip-api\[heic\]'"):
        image_reader(PreprocessConfig(size=24))(KEPT["plain.heic"])


def test_a_server_reads_safe_formats_and_others_where_they_are_named():
    assert set(read_settings().served_formats) == {"JPEG", "PNG", "WEBP", "GIF", "BMP", "AVIF"}
    assert read_settings(image_formats="tif,jpg").served_formats == ("TIFF", "JPEG")
    assert read_settings(image_formats="all").served_formats == ALL


def test_other_formats_need_decoder_processes_on_a_server():
    from openclip_api.server.run import model_pool_of

    with pytest.raises(InvalidSetting, match="IMAGE_FORMATS=TIFF on a server needs DECODE=process"):
        model_pool_of(read_settings(image_formats="jpg,tiff", decode="thread", model_name="emoji"))
    model_pool_of(read_settings(image_formats="jpg,tiff", decode="process", model_name="emoji"))


# --- Bounds --------------------------------------------------------------------------------------------------------

SMALL = image_reader(PreprocessConfig(size=24), 0.005, False, "natural", ALL)


@pytest.mark.parametrize("name", [name for name in KEPT if name.endswith(ISO)])
def test_pixels_of_any_part_are_bounded(name: str):
    with pytest.raises(TooLarge):
        SMALL(KEPT[name])


def replaced(data: bytes, old: bytes, new: bytes) -> bytes:
    assert old in data
    return data.replace(old, new)


def box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", 8 + len(content)) + kind + content


FTYP = box(b"ftyp", b"avif\0\0\0\0avifmif1miaf")


def avif(*boxes: bytes) -> bytes:
    return FTYP + box(b"meta", bytes(4) + b"".join(boxes))


def items(count: int) -> bytes:
    entries = b"".join(box(b"infe", b"\2\0\0\0" + struct.pack(">HH", n, 0) + b"av01\0") for n in range(count))
    return avif(box(b"iinf", bytes(4) + struct.pack(">H", min(count, 65535)) + entries))


def nested(depth: int) -> bytes:
    content = b""
    for _ in range(depth):
        content = box(b"iprp", content)
    return content


def tagged(tags: int, values: int = 1, tag: int = 0, kind: int = 4, big: bool = False) -> bytes:
    entry = "<HHQQ" if big else "<HHII"
    listed = b"".join(struct.pack(entry, tag or 1000 + n, kind, values, 0) for n in range(tags))
    start = b"II+\0\x08\0\0\0" + struct.pack("<QQ", 16, tags) if big else b"II*\0" + struct.pack("<IH", 8, tags)
    return start + listed + bytes(8)


def icon(count: int, width: int = 16, compression: int = 0) -> bytes:
    picture = struct.pack("<IiiHHIIiiII", 40, width, 2 * width, 1, 32, compression, 0, 0, 0, 0, 0)
    entry = struct.pack("<BBBBHHII", 16, 16, 0, 0, 1, 32, len(picture), 6 + 16 * count)
    return struct.pack("<HHH", 0, 1, count) + entry * count + picture


def codestream(width: int, tile: int, markers: int = 0) -> bytes:
    size = struct.pack(">HHIIIIIIIIHBBB", 41, 0, width, width, 0, 0, tile, tile, 0, 0, 1, 7, 1, 1)
    return b"\xff\x4f\xff\x51" + size + b"\xff\x64\0\2" * markers + b"\xff\x90"


MANY = {
    "AVIF of many items": (items(1025), InvalidImage, "1024 items"),
    "AVIF of many boxes": (avif(box(b"free", b"") * 10_001), InvalidImage, "10000 boxes"),
    "AVIF of boxes inside each other": (FTYP + nested(3000), InvalidImage, "16 boxes inside each other"),
    "AVIF of large extents": (avif(box(b"ispe", struct.pack(">III", 0, 60_000, 60_000))), TooLarge, "60000 x 60000"),
    "AVIF of many frames": (
        FTYP + box(b"moov", box(b"trak", box(b"stbl", box(b"stsz", struct.pack(">III", 0, 1, 10**6))))),
        InvalidImage, "100000 frames",
    ),
    "AVIF whose items are in many pieces": (
        avif(box(b"iloc", bytes(4) + b"\x44\0" + struct.pack(">HHHH", 1, 1, 0, 65535))), InvalidImage, "10000 boxes",
    ),
    "TIFF of many tags": (tagged(1025), InvalidImage, "1024 tags"),
    "BigTIFF of many tags": (tagged(1025, big=True), InvalidImage, "1024 tags"),
    "TIFF of many strips": (tagged(1, 20_001, 273), InvalidImage, "20000 strips and tiles"),
    "TIFF of a tag of many values": (tagged(1, 65_537, 282, 5), InvalidImage, "65536 values"),
    "ICO of many pictures": (icon(257), InvalidImage, "256 pictures"),
    "ICO of a large picture": (icon(1, 5000), TooLarge, "1024 x 1024"),
    "ICO of run lengths": (icon(1, compression=1) + bytes(2_100_000), InvalidImage, "run-length codes"),
    "JPEG 2000 of many tiles": (codestream(1000, 1), InvalidImage, "4096 tiles"),
    "JPEG 2000 of many pixels": (codestream(60_000, 60_000), TooLarge, "60000 x 60000"),
    "JPEG 2000 of many markers": (codestream(64, 64, 5000), InvalidImage, "4096 segments"),
    "JPEG 2000 of many boxes": (b"\0\0\0\x0cjP  \r\n\x87\n" + box(b"free", b"") * 1001, InvalidImage, "1000 boxes"),
}  # fmt: skip


@pytest.mark.parametrize("name", MANY)
def test_parts_are_bounded(name: str):
    data, error, message = MANY[name]
    for use in (natural, image_size) if error is InvalidImage else (natural,):
        with pytest.raises(error, match=message):
            use(data)


def test_an_item_that_would_lie_behind_the_file():
    item = box(b"infe", b"\2\0\0\0\0\1\0\0av01\0")
    where = b"\1\0\0\0\x44\0" + struct.pack(">HHHHHII", 1, 1, 1, 0, 1, 0, 10**6)
    data = avif(box(b"iinf", bytes(4) + b"\0\1" + item), box(b"iloc", where), box(b"idat", b"\x12\0"))
    with pytest.raises(InvalidImage):
        natural(data)


def test_a_frame_larger_than_the_boxes_say():
    """The AV1 sequence header in the data, whose width and height have 7 and 6 bits here, asks for more."""
    data = KEPT["plain.avif"]
    start = data.index(b"mdat") + 4
    header = data[start : start + 12]
    assert header[0] >> 3 in (1, 2)
    at = start if header[0] >> 3 == 1 else start + 2
    sequence = at + 2  # behind the unit's header and length
    bits = int.from_bytes(data[sequence : sequence + 8], "big")
    # profile 3, still picture 1, reduced 1, level 5, then the two lengths of 4 bits
    large = bits | (0xFF << (64 - 18))
    changed = data[:sequence] + large.to_bytes(8, "big") + data[sequence + 8 :]
    with pytest.raises(TooLarge, match="a part of the image has"):
        natural(changed)


def dng(orientation: int) -> bytes:
    """As a camera writes it: a thumbnail first, then the sensor's pixels and a preview in directories below."""
    preview = encoded(STORED[orientation], "JPEG", quality=95)
    thumbnail, sensor = bytes(16 * 12 * 3), struct.pack("<H", 500) * 256 * 128

    def directory(at: int, tags: list[tuple[int, int, int, bytes | int]]) -> bytes:
        """tag, type, count, and a value or the bytes of several."""
        listed, behind, free = b"", b"", at + 2 + 12 * len(tags) + 4
        for tag, kind, count, value in sorted(tags):
            if isinstance(value, bytes) and len(value) > 4:
                listed += struct.pack("<HHII", tag, kind, count, free + len(behind))
                behind += value + bytes(len(value) % 2)
            else:
                packed = value if isinstance(value, bytes) else struct.pack("<I", value)
                listed += struct.pack("<HHI", tag, kind, count) + packed.ljust(4, b"\0")
        return struct.pack("<H", len(tags)) + listed + bytes(4) + behind

    def strip(
        kind: int, width: int, height: int, bits: bytes, compression: int, photo: int, at: int, size: int
    ) -> list:
        samples = len(bits) // 2
        return [(254, 4, 1, kind), (256, 4, 1, width), (257, 4, 1, height), (258, 3, samples, bits),
                (259, 3, 1, compression), (262, 3, 1, photo), (273, 4, 1, at), (277, 3, 1, samples),
                (278, 4, 1, height), (279, 4, 1, size)]  # fmt: skip

    start = 8 + 2000
    at = {"thumbnail": start, "sensor": start + len(thumbnail), "preview": start + len(thumbnail) + len(sensor)}
    eight = struct.pack("<HHH", 8, 8, 8)
    below = [700, 1200]
    width, height = STORED[orientation].size
    first = directory(8, [
        *strip(1, 16, 12, eight, 1, 2, at["thumbnail"], len(thumbnail)), (274, 3, 1, orientation),
        (271, 2, 6, b"Maker\0"), (272, 2, 6, b"Model\0"), (330, 4, 2, struct.pack("<II", *below)),
        (50706, 1, 4, b"\1\4\0\0"), (50708, 2, 6, b"Model\0"),
        (50721, 10, 9, b"".join(struct.pack("<ii", int(i % 4 == 0), 1) for i in range(9))),
    ])  # fmt: skip
    raw = directory(below[0], [
        *strip(0, 256, 128, struct.pack("<H", 16), 1, 32803, at["sensor"], len(sensor)),
        (33421, 3, 2, struct.pack("<HH", 2, 2)), (33422, 1, 4, b"\0\1\1\2"),
    ])  # fmt: skip
    small = directory(below[1], strip(1, width, height, eight, 7, 6, at["preview"], len(preview)))
    head = (b"II*\0" + struct.pack("<I", 8) + first).ljust(below[0], b"\0") + raw
    return (head.ljust(below[1], b"\0") + small).ljust(start, b"\0") + thumbnail + sensor + preview


LARGE = PICTURE.resize((388, 244))
STORED = {1: LARGE, 6: LARGE.transpose(Image.Transpose.ROTATE_90), 3: LARGE.transpose(Image.Transpose.ROTATE_180)}


@pytest.mark.skipif("RAW" not in ALL, reason="needs the extra raw")
@pytest.mark.parametrize("orientation", STORED)
def test_a_cameras_raw_file_gives_its_preview(orientation: int):
    assert np.abs(natural(dng(orientation)).pixels.astype(int) - natural(encoded(LARGE, "PNG")).pixels).mean() <= 4


def test_a_cameras_raw_file_is_no_tiff():
    """Its first directory is a thumbnail's: to read that as the picture would be plausible and wrong."""
    read = image_reader(PreprocessConfig(size=24), formats=("JPEG", "TIFF"))
    with pytest.raises(InvalidImage, match="but camera raw"):
        read(dng(1))
    with pytest.raises(InvalidImage, match="no readable JPEG inside"):
        natural(tagged(1, 1, 50706, 1))
