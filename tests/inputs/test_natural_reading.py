"""IMAGE_READING=natural: each kind of file that open_clip's reading shows wrongly; all others are the same."""

from __future__ import annotations

import io
import json
import random
import struct
import zlib
from contextlib import closing
from itertools import cycle

import numpy as np
import pytest
import skimage.data
from PIL import Image, ImageCms, ImageEnhance

from openclip_api import load
from openclip_api.checkpoints.config import PreprocessConfig
from openclip_api.inputs.images import image_reader
from openclip_api.search.thumbnails import thumbnail

from ..support import profiles
from ..support.bad_images import chunk, encoded
from ..support.repository import ROOT

SIZE = 24
READERS = {
    (mode, reading): image_reader(PreprocessConfig(size=SIZE, resize_mode=mode, fill_color=7), 40, False, reading)
    for mode in ("shortest", "squash", "longest")
    for reading in ("natural", "open_clip")
}


def picture(width: int = 97, height: int = 61, left: int = 150) -> Image.Image:
    """Not the same on its side or in a mirror."""
    return Image.fromarray(skimage.data.astronaut()).crop((left, 0, left + 200, 126)).resize((width, height))


def pixels(data: bytes, reading: str = "natural", mode: str = "squash") -> np.ndarray:
    return READERS[mode, reading](data).pixels.astype(int)


def far(data: bytes, other: bytes, mode: str = "squash") -> int:
    """The greatest difference between what natural makes of two files."""
    return int(np.abs(pixels(data, mode=mode) - pixels(other, mode=mode)).max())


PLAIN = encoded(picture(), "PNG")


# --- The same bit by bit -------------------------------------------------------------------------------------------


def plain_files(count: int, seed: int = 1) -> list[bytes]:
    """Files without orientation, transparency, palette, deep levels or a profile other than sRGB's."""
    rng = random.Random(seed)
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    made = []
    for _ in range(count):
        mode = rng.choice(["RGB", "RGB", "L", "RGBA"])
        image = picture(rng.randrange(1, 90), rng.randrange(1, 90), rng.randrange(300)).convert(mode)
        if max(image.size) > 10 * min(image.size):
            continue
        kinds = ["PNG", "WEBP"] if mode == "RGBA" else ["JPEG", "JPEG", "PNG", "WEBP", "BMP"]
        kind = rng.choice(kinds)
        options: dict[str, object] = {}
        if kind == "JPEG":
            options = {"quality": rng.randrange(30, 100), "progressive": rng.random() < 0.3}
        if kind == "WEBP":
            options = {"lossless": rng.random() < 0.5}
        if kind != "BMP" and rng.random() < 0.3:
            options["icc_profile"] = srgb
        if kind != "BMP" and rng.random() < 0.3:
            exif = Image.Exif()
            exif[0x0112] = 1
            exif[0x010F] = "A camera"
            options["exif"] = exif
        made.append(encoded(image, kind, **options))
    return made


@pytest.mark.slow
def test_a_thousand_plain_files_are_read_the_same_bit_by_bit():
    files = plain_files(1200)
    assert len(files) >= 1000
    for data, mode in zip(files, cycle(("shortest", "squash", "longest")), strict=False):
        np.testing.assert_array_equal(pixels(data, "natural", mode), pixels(data, "open_clip", mode))


@pytest.mark.parametrize("mode", ["shortest", "squash"])
def test_cmyk_without_a_profile_is_the_same(mode: str):
    data = encoded(picture().convert("CMYK"), "JPEG")
    np.testing.assert_array_equal(pixels(data, "natural", mode), pixels(data, "open_clip", mode))


def test_large_jpegs_are_decoded_to_a_fraction_under_both():
    data = encoded(picture(1600, 1000), "JPEG", quality=95)
    config = PreprocessConfig(size=SIZE)
    natural, open_clip = (image_reader(config, 40, True, reading)(data) for reading in ("natural", "open_clip"))
    np.testing.assert_array_equal(natural.pixels, open_clip.pixels)
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = encoded(picture(1600, 1000).transpose(Image.Transpose.ROTATE_90), "JPEG", quality=95, exif=exif)
    assert np.abs(image_reader(config, 40, True, "natural")(turned).pixels.astype(int) - natural.pixels).max() <= 12


# --- Upright -------------------------------------------------------------------------------------------------------

STORED = {  # how a picture lies in the file so that its orientation shows it upright
    1: None, 2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}  # fmt: skip


@pytest.mark.parametrize("mode", ["shortest", "squash", "longest"])
@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("format", ["PNG", "WEBP", "JPEG", "AVIF"])
def test_orientations(orientation: int, mode: str, format: str):
    lossless = {
        "PNG": {},
        "WEBP": {"lossless": True},
        "JPEG": {"quality": 98, "subsampling": 0},
        "AVIF": {"quality": 98},
    }
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = picture() if STORED[orientation] is None else picture().transpose(STORED[orientation])
    data = encoded(stored, format, exif=exif, **lossless[format])
    assert far(data, PLAIN, mode) <= (3 if format in ("PNG", "WEBP") else 12)
    if orientation != 1:
        assert np.abs(pixels(data, "open_clip", mode) - pixels(PLAIN, mode=mode)).max() > 40 or format == "AVIF"


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_orientation_that_is_none_changes_nothing(orientation: int):
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert far(encoded(picture(), "PNG", exif=exif), PLAIN) == 0


def test_exif_behind_a_pngs_pixels_counts():
    exif = b"MM\0*\0\0\0\x08" + struct.pack(">HHHIHHI", 1, 0x0112, 3, 1, 6, 0, 0)
    turned = encoded(picture().transpose(Image.Transpose.ROTATE_90), "PNG")
    assert far(turned[:-12] + chunk(b"eXIf", exif) + turned[-12:], PLAIN) <= 3


# --- Transparency on white -----------------------------------------------------------------------------------------


def on_white(image: Image.Image) -> bytes:
    ground = Image.new("RGBA", image.size, "white")
    ground.alpha_composite(image.convert("RGBA"))
    return encoded(ground.convert("RGB"), "PNG")


def cut_out() -> Image.Image:
    """A picture whose border is transparent and hides black, and whose left fades."""
    image = picture().convert("RGBA")
    alpha = np.zeros((61, 97), np.uint8)
    alpha[10:50, 15:80] = np.linspace(40, 255, 65).astype(np.uint8)
    array = np.asarray(image).copy()
    array[alpha == 0] = 0
    array[..., 3] = alpha
    return Image.fromarray(array)


@pytest.mark.parametrize("mode", ["shortest", "squash", "longest"])
@pytest.mark.parametrize(
    ("format", "options"),
    [("PNG", {}), ("WEBP", {"lossless": True, "exact": True}), ("AVIF", {"quality": 100})],
)
def test_transparency_is_white(format: str, options: dict[str, object], mode: str):
    assert far(encoded(cut_out(), format, **options), on_white(cut_out()), mode) <= (14 if format == "AVIF" else 3)


def test_a_bmp_with_alpha():
    """BITMAPV4HEADER with a mask for alpha. Without one the fourth byte means nothing."""
    image = cut_out()
    rows = image.transpose(Image.Transpose.FLIP_TOP_BOTTOM).tobytes("raw", "BGRA")
    masks = struct.pack("<IIII", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    header = struct.pack("<IiiHHIIiiII", 108, *image.size, 1, 32, 3, len(rows), 0, 0, 0, 0) + masks + bytes(52)
    data = b"BM" + struct.pack("<IHHI", 122 + len(rows), 0, 0, 122) + header + rows
    assert far(data, on_white(image)) <= 3


def test_grey_with_alpha():
    grey = cut_out().convert("LA")
    assert far(encoded(grey, "PNG"), on_white(grey)) <= 3


def test_a_palette_with_alphas():
    quantized = cut_out().quantize(200, Image.Quantize.FASTOCTREE)
    assert far(encoded(quantized, "PNG"), on_white(quantized)) <= 3


@pytest.mark.parametrize("format", ["PNG", "GIF"])
def test_a_palette_with_a_transparent_index(format: str):
    image = picture().quantize(16)
    background = image.getpixel((0, 0))
    data = encoded(image, format, transparency=background)
    shown = image.convert("RGB")
    shown.paste("white", mask=Image.fromarray((np.asarray(image) == background).astype(np.uint8) * 255))
    assert far(data, encoded(shown, "PNG")) <= 3


def png(rows: bytes, depth: int, colour: int, *before: bytes, width: int = 32, height: int = 32) -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(before) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
def test_a_transparent_grey_level(depth: int):
    """The left half has the level, the right half another one."""
    levels = 2**depth
    transparent, other = levels // 4, (levels // 2) if depth > 1 else 1
    bits = "".join(f"{transparent if x < 16 else other:0{depth}b}" for x in range(32))
    row = b"\0" + int(bits, 2).to_bytes(len(bits) // 8, "big")
    found = pixels(png(row * 32, depth, 0, chunk(b"tRNS", struct.pack(">H", transparent))))
    assert (found[:, : SIZE // 2 - 2] == 255).all()
    assert (np.abs(found[:, SIZE // 2 + 2 :] - (255 if depth == 1 else other * 255 // (levels - 1))) <= 1).all()


@pytest.mark.parametrize("depth", [8, 16])
def test_a_transparent_colour(depth: int):
    colour = (0x12, 0x34, 0x56) if depth == 8 else (0x1234, 0x3456, 0x5678)
    other = (200, 100, 50) if depth == 8 else (200 * 257, 100 * 257, 50 * 257)
    code = "B" if depth == 8 else "H"
    row = b"\0" + struct.pack(f">{32 * 3}{code}", *colour * 16, *other * 16)
    found = pixels(png(row * 32, depth, 2, chunk(b"tRNS", struct.pack(">HHH", *colour))))
    assert (found[:, : SIZE // 2 - 2] == 255).all()
    assert (found[:, SIZE // 2 + 2 :] == (200, 100, 50)).all()


# --- Palettes, one bit, deep levels --------------------------------------------------------------------------------


def test_a_palette_is_resized_with_smoothing():
    image = picture().quantize(64)
    assert far(encoded(image, "PNG"), encoded(image.convert("RGB"), "PNG")) == 0
    assert np.abs(pixels(encoded(image, "GIF"), "open_clip") - pixels(encoded(image, "GIF"))).max() > 20


@pytest.mark.parametrize("format", ["PNG", "BMP"])
def test_one_bit_is_resized_with_smoothing(format: str):
    image = picture().convert("1")
    assert far(encoded(image, format), encoded(image.convert("L"), "PNG")) == 0


def test_sixteen_bits_of_grey_are_scaled():
    grey = picture().convert("L")
    deep = encoded(Image.fromarray(np.asarray(grey).astype(np.uint16) * 257), "PNG")
    assert far(deep, encoded(grey, "PNG")) == 0
    assert np.abs(pixels(deep, "open_clip") - pixels(encoded(grey, "PNG"))).max() > 100


@pytest.mark.parametrize(("colour", "mode"), [(2, "RGB"), (4, "LA"), (6, "RGBA")])
def test_sixteen_bits_of_colour(colour: int, mode: str):
    image = cut_out().convert(mode)
    deep = np.asarray(image).astype(">u2") * 257
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in deep)
    assert far(png(rows, 16, colour, width=97, height=61), on_white(image)) <= 3


# --- Colour profiles -----------------------------------------------------------------------------------------------


def vivid() -> Image.Image:
    return ImageEnhance.Color(picture()).enhance(2)


VIVID = encoded(vivid(), "PNG")


def in_space(primaries: list[tuple[float, float, float]], gamma: float | None) -> Image.Image:
    """The numbers that show the picture's colours in another space of linear light."""
    srgb = np.asarray(vivid(), np.float64) / 255
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    other = (linear @ np.array(profiles.SRGB) @ np.linalg.inv(np.array(primaries))).clip(0, 1)
    if gamma is None:
        encoded_ = np.where(other <= 0.0031308, other * 12.92, 1.055 * other ** (1 / 2.4) - 0.055)
    else:
        encoded_ = other ** (1 / gamma)
    return Image.fromarray((encoded_ * 255).round().astype(np.uint8))


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "AVIF"])
@pytest.mark.parametrize("space", ["Display P3", "Adobe RGB"])
def test_wide_gamuts_become_srgb(space: str, format: str):
    primaries, gamma = {"Display P3": (profiles.DISPLAY_P3, None), "Adobe RGB": (profiles.ADOBE_RGB, 2.2)}[space]
    profile = profiles.rgb_profile(primaries, profiles.SRGB_CURVE if gamma is None else profiles.gamma(gamma))
    options = {
        "PNG": {},
        "JPEG": {"quality": 98, "subsampling": 0},
        "WEBP": {"lossless": True},
        "AVIF": {"quality": 98},
    }
    data = encoded(in_space(primaries, gamma), format, icc_profile=profile, **options[format])
    assert far(data, VIVID) <= (8 if format in ("PNG", "WEBP") else 12)
    assert np.abs(pixels(data, "open_clip") - pixels(VIVID)).max() > 15


def test_a_grey_profile():
    linear = Image.new("L", (40, 40), 55)  # 21.6 % of light
    data = encoded(linear, "PNG", icc_profile=profiles.grey_profile(profiles.gamma(1.0)))
    assert (np.abs(pixels(data) - 128) <= 2).all()


@pytest.mark.parametrize("format", ["JPEG", "TIFF"])
def test_cmyk_with_a_profile(format: str):
    ink = Image.new("CMYK", (40, 40), (0, 128, 0, 0))
    profile = profiles.cmyk_profile()
    data = encoded(ink, format, icc_profile=profile)
    read = image_reader(PreprocessConfig(size=SIZE), 40, False, "natural", ("JPEG", "TIFF"))
    transform = ImageCms.buildTransform(
        ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB"), "CMYK", "RGB"
    )
    expected = np.array(transform.apply(ink).getpixel((0, 0)))
    assert (np.abs(read(data).pixels.astype(int) - expected) <= 6).all()
    assert np.abs(expected - (255, 127, 255)).max() > 20  # Pillow's own conversion


WIDE = profiles.rgb_profile(profiles.DISPLAY_P3)
STEPS = b"mpet" + bytes(4) + struct.pack(">HHI", 3, 3, 1000) + bytes(8000)
BROKEN = {
    "nonsense": b"nonsense" * 100,
    "empty": b"",
    "cut": WIDE[:200],
    "of another mode": profiles.grey_profile(profiles.gamma(1.0)),
    "of any number of steps": profiles.profile(b"RGB ", {b"A2B0": STEPS, b"D2B0": STEPS}),
    "a link": profiles.profile(b"RGB ", {b"A2B0": STEPS}, b"link"),
    "of too many tags": profiles.profile(
        b"RGB ", {struct.pack(">I", 0x41000000 + i): b"text" + bytes(8) for i in range(150)}
    ),
    "too large": WIDE + bytes(4_000_000),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_profile_is_ignored(name: str):
    assert far(encoded(picture(), "JPEG", icc_profile=BROKEN[name]), encoded(picture(), "JPEG")) == 0


def test_a_profile_goes_with_transparency_and_orientation():
    exif = Image.Exif()
    exif[0x0112] = 6
    stored = in_space(profiles.DISPLAY_P3, None).convert("RGBA")
    stored.putalpha(cut_out().getchannel("A"))
    data = encoded(stored.transpose(Image.Transpose.ROTATE_90), "PNG", icc_profile=WIDE, exif=exif)
    expected = vivid().convert("RGBA")
    expected.putalpha(cut_out().getchannel("A"))
    assert far(data, on_white(expected)) <= 12


# --- Animations ----------------------------------------------------------------------------------------------------


def test_the_first_frame_covers_a_part_of_a_gif():
    """What it does not cover is transparent, as in a browser."""
    small = Image.new("P", (20, 40), 1)
    small.putpalette([0, 0, 0, 200, 0, 0])
    inner = encoded(small, "GIF")
    start = inner.index(b",", 13)
    data = (
        inner[:6] + struct.pack("<HH", 40, 40) + inner[10 : start + 1] + struct.pack("<HH", 20, 0) + inner[start + 5 :]
    )
    found = pixels(data)
    assert (found[:, : SIZE // 2 - 2] == 255).all()
    assert (found[:, SIZE // 2 + 2 :] == (200, 0, 0)).all()


@pytest.mark.parametrize("format", ["GIF", "PNG", "WEBP", "AVIF"])
def test_the_first_frame_of_an_animation(format: str):
    red, blue = (Image.new("RGB", (24, 24), color) for color in ("red", "blue"))
    options = {"lossless": True} if format == "WEBP" else {"quality": 100} if format == "AVIF" else {}
    data = encoded(red, format, save_all=True, append_images=[blue], **options)
    assert (np.abs(pixels(data) - (255, 0, 0)) <= 3).all()


def webp_chunk(kind: bytes, data: bytes) -> bytes:
    return kind + struct.pack("<I", len(data)) + data + bytes(len(data) % 2)


def test_the_first_frame_covers_a_part_of_a_webp():
    frame = encoded(Image.new("RGB", (20, 40), (200, 0, 0)), "WEBP", lossless=True)[12:]

    def three(value: int) -> bytes:
        return value.to_bytes(3, "little")

    where = three(10) + three(0) + three(19) + three(39) + three(100) + b"\0"
    body = b"WEBP" + webp_chunk(b"VP8X", b"\2\0\0\0" + three(39) + three(39)) + webp_chunk(b"ANIM", bytes(6))
    body += webp_chunk(b"ANMF", where + frame) * 2
    found = pixels(b"RIFF" + struct.pack("<I", len(body)) + body)
    assert (found[:, : SIZE // 2 - 2] == 255).all()
    assert (found[:, SIZE // 2 + 2 :] == (200, 0, 0)).all()


def test_a_picture_that_is_no_frame_of_its_apng_is_not_shown():
    red, blue = (Image.new("RGB", (24, 24), color) for color in ("red", "blue"))
    options = {"save_all": True, "append_images": [blue, red], "default_image": True}
    data = encoded(red, "PNG", **options)
    assert (pixels(data) == (0, 0, 255)).all()
    assert (pixels(data, "open_clip") == (255, 0, 0)).all()


@pytest.mark.slow
def test_texts_find_their_pictures_on_their_side():
    """Phones' photos: with open_clip's reading, about half of them are found."""
    listed = json.loads((ROOT / "samples" / "samples.json").read_text())
    samples = [sample for sample in listed if not sample["file"].startswith("unseen/")]
    exif = Image.Exif()
    exif[0x0112] = 6
    files = []
    for sample in samples:
        image = Image.open(ROOT / "samples" / sample["file"]).convert("RGBA")
        ground = Image.new("RGB", image.size, "white")
        ground.paste(image, mask=image)
        files.append(encoded(ground.transpose(Image.Transpose.ROTATE_90), "JPEG", quality=95, exif=exif))
    found = {}
    for reading in ("natural", "open_clip"):
        with closing(load("emoji", precision="fp32", image_reading=reading)) as embedder:
            images = embedder.embed_images(files, normalize=True)
            texts = embedder.embed_texts([sample["text"] for sample in samples], normalize=True)
        found[reading] = int(((images @ texts.T).argmax(1) == np.arange(len(samples))).sum())
    assert found["natural"] == len(samples)
    assert found["open_clip"] < 0.7 * len(samples)


# --- Thumbnails ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_thumbnails_show_the_same(orientation: int):
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = cut_out() if STORED[orientation] is None else cut_out().transpose(STORED[orientation])
    small = thumbnail(encoded(stored, "PNG", exif=exif), 40)
    assert Image.open(io.BytesIO(small)).size == (97, 61)
    assert far(small, on_white(cut_out())) <= 30  # a JPEG of quality 85
