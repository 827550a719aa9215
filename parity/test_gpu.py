"""The torch engine on a GPU against open_clip in fp32 on the CPU."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch

from openclip_api import load

from .conftest import MOST_DISTANCE, alike, worst
from .random_models import Config, save_random_model
from .reference import Reference
from .samples import BATCH_OF_TEXTS, batch_of_images
from .shrunk import with_small_text
from .test_torch_engine import CONFIG

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")

# A transformer, the same at its full size, and convolutions, which cuDNN would compute in TF32.
MODELS: dict[str, Config] = {
    "small": CONFIG,
    "ViT-B-32": open_clip.get_model_config("ViT-B-32"),
    "ResNet": with_small_text(open_clip.get_model_config("RN50"), layers=[2, 1, 3, 2], width=16, image_size=96),
}
LEAST_COSINE = {"fp32": 0.99999, "fp16": 0.9995, "bf16": 0.995}


@pytest.mark.parametrize("model", MODELS)
def test_a_gpu_gives_open_clips_vectors(model: str, tmp_path: Path) -> None:
    folder = save_random_model(tmp_path / "model", MODELS[model])
    reference = Reference(folder)
    images, texts = batch_of_images(), BATCH_OF_TEXTS
    expected = {"images": reference.embed_images(images), "texts": reference.embed_texts(texts)}
    figures = [
        (precision, kind, *worst(vectors, expected[kind]))
        for precision in ("fp32", "fp16", "bf16")
        for kind, vectors in embedded(folder, precision).items()
    ]
    for precision, kind, cosine, distance in figures:
        print(f"{model}, {precision}, {kind}: least cosine {cosine:.7f}, most distance {distance:.1e}")
    assert all(alike(vectors) < 0.995 for vectors in expected.values())
    for precision, _, cosine, distance in figures:
        assert cosine >= LEAST_COSINE[precision]
        assert precision != "fp32" or distance <= MOST_DISTANCE["fp32"]


def embedded(folder: Path, precision: str) -> dict[str, np.ndarray]:
    """fp16 is what `auto` is on a GPU."""
    options = {"precision": precision.replace("fp16", "auto"), "image_reading": "open_clip", "jpeg_scaling": "off"}
    with closing(load(f"local-dir:{folder}", device="cuda", **options)) as ours:
        assert (ours.info.engine, ours.info.device, ours.info.precision) == ("torch", "cuda", precision)
        return {"images": ours.embed_images(batch_of_images()), "texts": ours.embed_texts(BATCH_OF_TEXTS)}
