"""Large JPEGs decoded to a fraction of their size: how near their vectors stay, and what stays exact."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import closing

import numpy as np
import pytest
import skimage.data
from PIL import Image

from openclip_api import Embedder, load
from openclip_api.checkpoints.checkpoint import PreprocessConfig
from openclip_api.inputs.decoder_processes import DecoderProcesses
from openclip_api.inputs.images import SCALING_MARGIN, image_reader

from ..conftest import Encode
from ..golden import IMAGES, MODELS

NAMES = ("astronaut", "coffee", "rocket", "chelsea", "retina", "immunohistochemistry", "page", "text", "camera")
SIZES = [(640, 480), (801, 1203), (1920, 1080), (3001, 2000), (4000, 3000)]


@pytest.fixture(scope="module")
def embedders() -> Iterator[list[Embedder]]:
    """The built-in model, whose weights are trained, with exact and with scaled decoding."""
    exact, scaled = (load("emoji", precision="fp32", jpeg_scaling=choice) for choice in ("off", "on"))
    with closing(exact), closing(scaled):
        yield [exact, scaled]


@pytest.mark.slow
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_vectors_stay_near(embedders: list[Embedder], photo: Encode, size: tuple[int, int]):
    files = [photo(name, "JPEG", size) for name in NAMES]
    exact, scaled = (embedder.embed_images(files, normalize=True) for embedder in embedders)
    assert (exact * scaled).sum(axis=1).min() > 0.9995
    assert not np.array_equal(exact, scaled)


@pytest.mark.parametrize("mode", ["shortest", "squash", "longest"])
@pytest.mark.parametrize("size", [(1203, 801), (700, 1500)])
def test_the_picture_stays_in_its_place(photo: Encode, mode: str, size: tuple[int, int]):
    """A picture whose last blocks are cut off would be shifted by a part of a pixel."""
    data = photo("coffee", "JPEG", size)
    config = PreprocessConfig(size=96, resize_mode=mode)
    exact, scaled = (image_reader(config, scale_jpegs=choice)(data).pixels.astype(int) for choice in (False, True))
    assert exact.shape == scaled.shape
    assert 0 < np.abs(exact - scaled).mean() < 1
    shifted = np.abs(exact - np.roll(scaled, 1, axis=1)).mean()
    assert np.abs(exact - scaled).mean() < shifted / 4


@pytest.mark.filterwarnings("ignore:Palette images with Transparency")
def test_what_is_small_or_no_jpeg_is_exact(photo: Encode):
    config = PreprocessConfig(size=224)
    exact, scaled = (image_reader(config, scale_jpegs=choice) for choice in (False, True))
    least = 2 * SCALING_MARGIN * config.size - 2
    for data in [*IMAGES.values(), photo("coffee", "JPEG", (least, least)), photo("coffee", "PNG", (1200, 900))]:
        np.testing.assert_array_equal(exact(data).pixels, scaled(data).pixels)


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_grey_and_cmyk_scale_too(mode: str):
    file = io.BytesIO()
    Image.fromarray(skimage.data.coffee()).convert(mode).resize((1600, 1200)).save(file, "JPEG")
    config = PreprocessConfig(size=96)
    exact, scaled = (image_reader(config, scale_jpegs=choice)(file.getvalue()).pixels for choice in (False, True))
    assert 0 < np.abs(exact.astype(int) - scaled).mean() < 1


@pytest.mark.process
def test_children_do_the_same(photo: Encode):
    data, config = photo("coffee", "JPEG", (1600, 1200)), PreprocessConfig(size=96)
    children = DecoderProcesses(config, 40, count=1, scale_jpegs=True)
    np.testing.assert_array_equal(children(data).pixels, image_reader(config, scale_jpegs=True)(data).pixels)
    children.close()


def test_the_fingerprint_tells_how_jpegs_are_decoded(embedders: list[Embedder]):
    exact, scaled = (embedder.info.fingerprint for embedder in embedders)
    assert exact != scaled
    with closing(load("emoji", precision="fp32")) as default:
        assert default.info.fingerprint == exact


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "precision", "scales"), [("openai", "int8", True), ("openai", "fp32", False), ("convnext", "int8", False)]
)
def test_auto_is_for_transformers_below_fp32(name: str, precision: str, scales: bool):
    fingerprints = []
    for choice in ("auto", "on", "off"):
        with closing(load(f"local-dir:{MODELS[name]}", precision=precision, jpeg_scaling=choice)) as embedder:
            fingerprints.append(embedder.info.fingerprint)
    auto, on, off = fingerprints
    assert on != off
    assert auto == (on if scales else off)
