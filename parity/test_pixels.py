"""Preprocessing, bit by bit against open_clip's transforms."""

from __future__ import annotations

import io
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image

from openclip_api.checkpoints.checkpoint import PreprocessConfig
from openclip_api.errors import InvalidImage
from openclip_api.inputs.images import image_reader

from . import images
from .reference import reference_pixels

# Pillow's advice to whoever drops an alpha channel, which the reference does
pytestmark = pytest.mark.filterwarnings("ignore:Palette images with Transparency")

FILL = 55
SIZES = [(640, 427), (427, 640), (1, 1), (2, 3), (3, 2), (1, 99), (99, 1), (396, 4), (224, 224), (224, 223), (223, 224),
         (225, 224), (224, 448), (448, 448), (450, 299), (1000, 17), (333, 1001), (37, 37), (31, 64), (1920, 1080),
         (1366, 768), (129, 2000), (7, 500), (256, 255), (800, 600)]  # fmt: skip


def modes() -> Iterator[tuple[str, str]]:
    for resize_mode in ("shortest", "squash", "longest"):
        for interpolation in ("bicubic", "bilinear"):
            yield resize_mode, interpolation


@pytest.fixture(params=modes(), ids="-".join)
def mode(request: pytest.FixtureRequest) -> tuple[str, str]:
    return request.param


def assert_equal_pixels(data: bytes, size: int, mode: tuple[str, str]) -> None:
    config = PreprocessConfig(size=size, resize_mode=mode[0], interpolation=mode[1], fill_color=FILL)
    pixels = image_reader(config)(data).pixels
    assert pixels.dtype == np.uint8
    np.testing.assert_array_equal(pixels, reference_pixels(data, size, *mode, FILL))


@pytest.mark.parametrize("target", [224, 101])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_sizes(size: tuple[int, int], target: int, mode: tuple[str, str]) -> None:
    assert_equal_pixels(images.saved(images.noise(*size), "BMP"), target, mode)


def test_random_sizes(mode: tuple[str, str]) -> None:
    random = np.random.RandomState(0)
    for seed in range(60):
        width, height, target = (int(side) for side in random.randint(10, 300, 3))
        assert_equal_pixels(images.saved(images.noise(width, height, seed), "BMP"), target, mode)


def test_a_side_that_rounds_to_nothing_is_an_error_on_both_sides() -> None:
    data = images.saved(images.noise(200, 3), "BMP")
    with pytest.raises(ValueError, match="height and width must be > 0"):
        reference_pixels(data, 32, "longest", "bicubic", FILL)
    with pytest.raises(InvalidImage):
        image_reader(PreprocessConfig(size=32, resize_mode="longest"))(data)


@pytest.mark.parametrize("size", [(97, 61), (48, 80), (64, 64)], ids=str)
@pytest.mark.parametrize("name", [*images.JPEGS, *images.PNGS, *images.OTHERS])
def test_modes_and_formats(name: str, size: tuple[int, int], mode: tuple[str, str]) -> None:
    make = {**images.JPEGS, **images.PNGS, **images.OTHERS}[name]
    for picture in (images.photograph(*size), images.noise(*size)):
        data = make(picture)
        for target in (64, 33, 224):
            assert_equal_pixels(data, target, mode)


def test_the_files_are_what_their_names_say() -> None:
    opened = {name: Image.open(io.BytesIO(data)) for name, data in images.files(40, 30).items()}
    found = {image.mode for image in opened.values()}
    assert found >= {"1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"}
    assert {image.format for image in opened.values()} == {"JPEG", "MPO", "PNG", "GIF", "WEBP", "BMP"}
    assert all(getattr(opened[name], "n_frames", 1) > 1 for name in opened if "animated" in name)
    assert opened["exif_rotated.jpg"].getexif()[0x0112] == 6
    assert opened["ycck.jpg"].info["adobe_transform"] == 2
