"""The file bytes and strings that both sides are given."""

from __future__ import annotations

import io
from functools import cache

import numpy as np
import skimage.data
from PIL import Image

TEXTS = [
    "a photo of a cat",
    "",
    "A PHOTO OF A DOG!!!",
    "x",
    "the quick brown fox jumps over the lazy dog, twice; then it rests",
    "Ein Foto von einer Katze auf dem Sofa, gemalt von Großvater",
    "фотография собаки на пляже",
    "一张猫的照片",
    "صورة قطة على أريكة",
    "🐈‍⬛ on a 🛋️ at 7:45",
    "caf&eacute; &amp;amp; cr\u00c3\u00a8me",
    "it's we're they'll I'd don't",
    "0123456789 3.14159 1,000,000",
    "before <end_of_text> after",
    "two <start_of_text> starts",
    "red sofa " * 8,
    "a very long text that goes on and on, " * 20,
    "\t line\n breaks \r\n and   spaces ",
]
# Thirty-two texts of all lengths, each another.
BATCH_OF_TEXTS = TEXTS + [f"photograph number {i} of " + "many things " * i for i in range(32 - len(TEXTS))]

# What the small tokenizers take their pieces from.
CORPUS = [*TEXTS, *(f"a photo of a {thing}" for thing in ("house", "horse", "harbour", "tree", "train", "street"))]


@cache
def photographs() -> tuple[bytes, ...]:
    """Scikit-image's photographs, as files of several formats and sizes."""
    astronaut, cat = skimage.data.astronaut(), skimage.data.cat()
    coffee, rocket = skimage.data.coffee(), skimage.data.rocket()
    return (
        encoded(astronaut, "JPEG"),
        encoded(cat, "JPEG"),
        encoded(coffee, "PNG"),
        encoded(rocket, "WEBP"),
        encoded(skimage.data.camera(), "JPEG"),  # greyscale
        encoded(astronaut[100:163, 80:420], "JPEG"),  # wide
        encoded(coffee[:, 300:340], "JPEG"),  # tall
        encoded(rocket[200:220, 300:330], "PNG"),  # smaller than any model's input
    )


@cache
def batch_of_images() -> tuple[bytes, ...]:
    """Thirty-two different images."""
    random = np.random.RandomState(0)
    crops = []
    for photograph in (skimage.data.astronaut(), skimage.data.cat(), skimage.data.coffee()) * 8:
        height, width = random.randint(30, 200, 2)
        top, left = random.randint(0, 100, 2)
        crops.append(encoded(photograph[top : top + height, left : left + width], "JPEG"))
    return photographs() + tuple(crops)


def encoded(pixels: np.ndarray, file_format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, file_format, **options)
    return buffer.getvalue()
