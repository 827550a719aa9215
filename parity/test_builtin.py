"""The built-in model is an ordinary OpenCLIP folder: open_clip loads it and gives the same ids and vectors."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import numpy as np

from openclip_api import load
from openclip_api.checkpoints.checkpoint import find
from openclip_api.inputs.tokenizer import build_tokenizer

from .conftest import Agree
from .reference import Reference
from .samples import BATCH_OF_TEXTS
from .texts import NASTY

SAMPLES = Path(__file__).parents[1] / "samples"
FACTS = json.loads((SAMPLES / "samples.json").read_text())


def test_open_clip_gives_the_same(precision: str, agree: Agree) -> None:
    checkpoint = find("emoji")
    reference = Reference(checkpoint.weights.parent)
    texts = [*(fact["text"] for fact in FACTS), *BATCH_OF_TEXTS]
    images = [(SAMPLES / fact["file"]).read_bytes() for fact in FACTS]
    with closing(load("emoji", precision=precision, jpeg_scaling="off", image_reading="open_clip")) as ours:
        agree("emoji / text", ours.embed_texts(texts), reference.embed_texts(texts))
        agree("emoji / image", ours.embed_images(images), reference.embed_images(images))


def test_its_tokenizer() -> None:
    checkpoint = find("emoji")
    reference = Reference(checkpoint.weights.parent)
    tokenizer = build_tokenizer(checkpoint.config.tokenizer, checkpoint.tokenizer)
    texts = [*NASTY, *BATCH_OF_TEXTS, *(fact["text"] for fact in FACTS)]
    np.testing.assert_array_equal(np.stack([tokenizer(text).ids for text in texts]), reference.tokenizer(texts).numpy())
