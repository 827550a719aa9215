"""The torch engine on a GPU against open_clip on the CPU. Written where there was no GPU to try it on."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest
import torch

from openclip_api import load

from .conftest import worst
from .random_models import save_random_model
from .reference import Reference
from .samples import BATCH_OF_TEXTS, batch_of_images
from .test_torch_engine import CONFIG

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")


@pytest.mark.parametrize(("precision", "least"), [("fp32", 0.99999), ("auto", 0.9995), ("bf16", 0.995)])
def test_a_gpu_gives_open_clips_vectors(precision: str, least: float, tmp_path: Path) -> None:
    folder = save_random_model(tmp_path / "plain", CONFIG)
    reference = Reference(folder)
    images = batch_of_images()
    with closing(load(f"local-dir:{folder}", device="cuda", precision=precision, image_reading="open_clip")) as ours:
        assert (ours.info.engine, ours.info.device) == ("torch", "cuda")
        pairs = [
            (ours.embed_images(images), reference.embed_images(images)),
            (ours.embed_texts(BATCH_OF_TEXTS), reference.embed_texts(BATCH_OF_TEXTS)),
        ]
    for vectors, expected in pairs:
        cosine, _ = worst(vectors, expected)
        print(f"{torch.cuda.get_device_name()}, {precision}: least cosine {cosine:.7f}")
        assert cosine > least
