"""Bytes → pixels: open_clip's for each mode and format, the policy in words, and bad input."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import numpy as np
import pytest
from PIL import Image

from openclip_api.checkpoints.checkpoint import PreprocessConfig
from openclip_api.errors import InvalidImage, TooLarge
from openclip_api.inputs.images import Pixels, image_reader, image_size

from ..golden import GOLDEN, IMAGES, arrays
from ..support.bad_images import scan_bomb

# Pillow's advice to whoever drops an alpha channel, which the reference does
pytestmark = pytest.mark.filterwarnings("ignore:Palette images with Transparency")

PIXELS = arrays(GOLDEN / "pixels.npz")


def pixel_reader(
    size: int = 24, resize_mode: str = "squash", max_megapixels: float = 40, **values: object
) -> Callable[[bytes], Pixels]:
    read = image_reader(PreprocessConfig(size=size, resize_mode=resize_mode, **values), max_megapixels)
    return lambda data: read(data).pixels


def saved(image: Image.Image, file_format: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def png_header(width: int, height: int) -> bytes:
    """A PNG that promises this size and ends where its pixels begin."""
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body)) + b"\0\0\xff\xffIDAT"
    )


@pytest.mark.parametrize("mode", PIXELS)
@pytest.mark.parametrize("name", IMAGES)
def test_pixels(name: str, mode: str) -> None:
    resize_mode, interpolation = mode.split()
    expected = PIXELS[mode][list(IMAGES).index(name)]
    config = PreprocessConfig(
        size=expected.shape[0], resize_mode=resize_mode, interpolation=interpolation, fill_color=55
    )
    np.testing.assert_array_equal(image_reader(config)(IMAGES[name]).pixels, expected)


def test_from_several_threads() -> None:
    convert = pixel_reader()
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(convert, list(IMAGES.values()) * 5))
    np.testing.assert_array_equal(together, [convert(data) for data in IMAGES.values()] * 5)


class TestPolicy:
    """What the reference does, where one could do otherwise."""

    def test_the_long_side_is_truncated(self) -> None:
        """640 x 427 becomes 335 x 224, so that the crop starts at column 56 of 335."""
        image = Image.fromarray(np.random.RandomState(0).randint(0, 256, (427, 640, 3)).astype(np.uint8))
        expected = image.resize((335, 224), Image.Resampling.BICUBIC).crop((56, 0, 280, 224))
        np.testing.assert_array_equal(pixel_reader(224, "shortest")(saved(image)), np.asarray(expected))

    def test_exif_orientation_is_not_applied(self) -> None:
        image = Image.linear_gradient("L").convert("RGB")
        exif = Image.Exif()
        exif[0x0112] = 6
        turned = pixel_reader()(saved(image, "JPEG", exif=exif))
        np.testing.assert_array_equal(turned, pixel_reader()(saved(image, "JPEG")))

    def test_alpha_is_dropped(self) -> None:
        """The colours below what is transparent show."""
        image = Image.new("RGBA", (24, 24), (200, 100, 50, 0))
        assert (pixel_reader()(saved(image)) == (200, 100, 50)).all()

    def test_a_palette_is_resized_without_smoothing(self) -> None:
        image = Image.new("P", (48, 48))
        image.putpalette([0, 0, 0, 255, 255, 255])
        image.putdata([(x + y) % 2 for y in range(48) for x in range(48)])
        assert set(np.unique(pixel_reader(17)(saved(image)))) <= {0, 255}

    def test_cmyk_is_converted(self) -> None:
        image = Image.new("CMYK", (24, 24), (0, 255, 255, 0))
        red = pixel_reader()(saved(image, "JPEG", quality=95))
        assert (abs(red.astype(int) - (255, 0, 0)) <= 3).all()

    def test_sixteen_bits_of_grey(self) -> None:
        """Pillow cuts what is over 255 off instead of scaling, so such a picture is all but white."""
        values = np.full((24, 24), 0x1234, np.uint16)
        values[:12] = 0x40
        pixels = pixel_reader()(saved(Image.fromarray(values)))
        assert (pixels[:12] == 0x40).all()
        assert (pixels[12:] == 255).all()

    @pytest.mark.parametrize("file_format", ["GIF", "PNG", "WEBP"])
    def test_the_first_frame_of_an_animation_counts(self, file_format: str) -> None:
        red, blue = (Image.new("RGB", (24, 24), color) for color in ("red", "blue"))
        options = {"lossless": True} if file_format == "WEBP" else {}
        data = saved(red, file_format, save_all=True, append_images=[blue], **options)
        assert (pixel_reader()(data) == (255, 0, 0)).all()

    def test_the_border_of_longest_has_the_fill_color(self) -> None:
        data = saved(Image.new("RGB", (24, 12), "red"))
        pixels = pixel_reader(24, "longest", fill_color=77)(data)
        assert (pixels[:6] == 77).all()
        assert (pixels[6:18] == (255, 0, 0)).all()
        assert (pixels[18:] == 77).all()


class TestLimits:
    def test_too_many_pixels(self) -> None:
        convert = pixel_reader(224, "shortest", max_megapixels=1)
        with pytest.raises(TooLarge, match="1001 x 1000 pixels, more than 1 megapixels"):
            convert(saved(Image.new("1", (1001, 1000))))
        assert convert(saved(Image.new("1", (1000, 1000)))).shape == (224, 224, 3)

    @pytest.mark.parametrize("size", [(10_000, 5_000), (60_000, 60_000), (2**31 - 1, 2**31 - 1)])
    def test_pixels_are_counted_from_the_header(self, size: tuple[int, int]) -> None:
        """Nothing is decoded, and nothing large is allocated."""
        tracemalloc.start()
        try:
            with pytest.raises(TooLarge, match="more than 40 megapixels"):
                pixel_reader()(png_header(*size))
            assert tracemalloc.get_traced_memory()[1] < 1e6
        finally:
            tracemalloc.stop()

    @pytest.mark.parametrize("size", [(1, 50_000), (50_000, 1), (101, 1), (1, 101), (3, 301)])
    def test_absurd_aspect_ratio(self, size: tuple[int, int]) -> None:
        with pytest.raises(InvalidImage, match=f"{size[0]} x {size[1]}"):
            pixel_reader()(saved(Image.new("1", size)))

    @pytest.mark.parametrize("resize_mode", ["shortest", "squash", "longest"])
    @pytest.mark.parametrize("size", [(1, 100), (100, 1), (300, 3)])
    def test_the_thinnest_allowed(self, size: tuple[int, int], resize_mode: str) -> None:
        assert pixel_reader(224, resize_mode)(saved(Image.new("L", size, 9))).shape == (224, 224, 3)


class TestBadInput:
    @pytest.mark.slow
    @pytest.mark.parametrize("name", IMAGES)
    def test_cut_anywhere(self, name: str) -> None:
        """An error, or the same pixels where only a trailer or a later frame was lost; never a half image."""
        data, convert = IMAGES[name], pixel_reader()
        whole, errors = convert(data), []
        for length in range(0, len(data), 5):
            try:
                np.testing.assert_array_equal(convert(data[:length]), whole)
            except InvalidImage as error:
                errors.append(error)
        assert len(errors) > len(data) / 5 / 4
        assert max(len(error.message) for error in errors) < 200

    @pytest.mark.parametrize("name", IMAGES)
    def test_damaged_anywhere(self, name: str) -> None:
        """Pixels or InvalidImage or TooLarge, whatever the bytes: no other error comes out."""
        random, convert = np.random.RandomState(1), pixel_reader()
        for _ in range(40):
            data = np.frombuffer(IMAGES[name], np.uint8).copy()
            data[random.randint(0, len(data), 8)] = random.randint(0, 256, 8)
            with suppress(InvalidImage, TooLarge):
                assert convert(data.tobytes()).shape == (24, 24, 3)

    @pytest.mark.parametrize(
        "data",
        [b"", b"\0", b"secret text", "sécret".encode("utf-16"), b"<html>secret</html>", b"%PDF-1.7 secret",
         b"<svg xmlns='http://www.w3.org/2000/svg'>secret</svg>", bytes(range(256)) * 40],
    )  # fmt: skip
    def test_no_image(self, data: bytes) -> None:
        with pytest.raises(InvalidImage) as caught:
            pixel_reader()(data)
        assert caught.value.message == "not a JPEG, PNG, WebP, GIF, BMP or AVIF image"

    def test_random_bytes(self) -> None:
        random = np.random.RandomState(0)
        for length in (1, 10, 100, 10_000):
            with pytest.raises(InvalidImage, match="not a JPEG"):
                pixel_reader()(random.bytes(length))

    @pytest.mark.parametrize("file_format", ["TIFF", "PPM", "ICO", "TGA", "PCX", "EPS", "PDF", "JPEG2000", "ICNS"])
    def test_formats_that_are_not_read(self, file_format: str) -> None:
        data = saved(Image.new("RGB", (64, 64), "red"), file_format)
        with pytest.raises(InvalidImage) as caught:
            pixel_reader()(data)
        message = "not a JPEG, PNG, WebP, GIF, BMP or AVIF image"
        known = {"TIFF": "TIFF", "ICO": "ICO", "JPEG2000": "JPEG 2000"}.get(file_format)
        assert caught.value.message == message + (
            f" but {known}, which this server's IMAGE_FORMATS leaves out" if known else ""
        )

    def test_the_message_does_not_tell_the_content(self) -> None:
        """A chunk's name is the sender's text."""
        png = bytearray(IMAGES["rgb.png"])
        png[png.index(b"IDAT") : png.index(b"IDAT") + 4] = b"SECR"
        with pytest.raises(InvalidImage) as caught:
            pixel_reader()(bytes(png))
        assert "SECR" not in caught.value.message


@pytest.mark.parametrize(("scans", "is_read"), [(40, True), (70, False)])
def test_a_progressive_jpeg_may_have_so_many_scans(scans: int, is_read: bool):
    image = scan_bomb(scans) + b"\xff\xda" * 1000  # what comes after its end does not count
    if is_read:
        assert pixel_reader(224, "shortest")(image).shape == (224, 224, 3)
    else:
        with pytest.raises(InvalidImage, match="more than 64 scans"):
            pixel_reader(224, "shortest")(image)


@pytest.mark.parametrize("scale_jpegs", [False, True])
@pytest.mark.parametrize("format", ["JPEG", "PNG"])
def test_an_image_tells_its_own_size(format: str, scale_jpegs: bool) -> None:
    data = saved(Image.new("RGB", (1600, 1200)), format)
    decoded = image_reader(PreprocessConfig(size=32), scale_jpegs=scale_jpegs)(data)
    assert (decoded.width, decoded.height) == image_size(data) == (1600, 1200)
    assert decoded.pixels.shape == (32, 32, 3)
