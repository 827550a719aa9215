"""JPEG files as cameras and web shops have them, the same on every machine: scikit-image's photographs."""

from __future__ import annotations

import io
from collections.abc import Iterator

import numpy as np
import skimage.data
from PIL import Image

NAMES = ("astronaut", "coffee", "chelsea", "rocket", "retina", "hubble_deep_field", "immunohistochemistry")
QUALITY = 90


def photograph(index: int, width: int, height: int) -> bytes:
    """The index-th file of this size: every index gives another crop of one of the photographs.

    Enlarged ones get the grain of a camera's sensor, so that their files are as large as a camera's.
    """
    source = Image.fromarray(getattr(skimage.data, NAMES[index % len(NAMES)])())
    random = np.random.default_rng(index)
    crop = _crop(source, width / height, random)
    pixels = np.asarray(crop.resize((width, height), Image.Resampling.LANCZOS), np.int16)
    grain = random.normal(0, 4 if width > crop.width else 1, (height, width, 1))
    pixels = np.clip(pixels + grain, 0, 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=QUALITY)
    return file.getvalue()


def photographs(count: int, width: int, height: int) -> Iterator[bytes]:
    return (photograph(index, width, height) for index in range(count))


def _crop(image: Image.Image, aspect: float, random: np.random.Generator) -> Image.Image:
    """Most of the photograph, in this aspect ratio, at a random place."""
    part = random.uniform(0.8, 1.0)
    width = int(part * min(image.width, image.height * aspect))
    height = int(width / aspect)
    left, top = (int(random.uniform(0, room)) for room in (image.width - width, image.height - height))
    return image.crop((left, top, left + width, top + height))
