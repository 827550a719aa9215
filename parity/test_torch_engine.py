"""The torch engine: open_clip itself below the same preprocessing, tokenizer and batcher."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import torch

from openclip_api import load
from openclip_api.checkpoints.checkpoint import find
from openclip_api.engines.torch import TorchEngine
from openclip_api.errors import InvalidSetting

from .conftest import Agree
from .random_models import save_random_model
from .reference import Reference
from .samples import BATCH_OF_TEXTS, batch_of_images

CONFIG = {
    "embed_dim": 24,
    "vision_cfg": {"image_size": 32, "patch_size": 8, "width": 48, "head_width": 12, "layers": 2},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 4, "layers": 2},
}


def with_qk_norm() -> dict:
    """A flag that no pretrained model has and no graph here knows."""
    return {**CONFIG, "vision_cfg": {**CONFIG["vision_cfg"], "qk_norm": True}}


def test_a_model_without_a_graph_runs_on_torch(tmp_path: Path, agree: Agree) -> None:
    folder = save_random_model(tmp_path / "custom", with_qk_norm())
    reference = Reference(folder)
    with closing(load(f"local-dir:{folder}", precision="fp32", image_reading="open_clip")) as ours:
        assert (ours.info.engine, ours.info.precision) == ("torch", "fp32")
        agree("torch engine / image", ours.embed_images(batch_of_images()), reference.embed_images(batch_of_images()))
        agree("torch engine / text", ours.embed_texts(BATCH_OF_TEXTS), reference.embed_texts(BATCH_OF_TEXTS))


def test_both_engines_give_the_same_vectors(tmp_path: Path, agree: Agree) -> None:
    folder = save_random_model(tmp_path / "plain", CONFIG)
    pixels = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), np.uint8)
    engine = TorchEngine(find(f"local-dir:{folder}"), "cpu", "fp32")
    with closing(load(f"local-dir:{folder}", precision="fp32", image_reading="open_clip")) as ours:
        assert ours.info.engine == "openvino"
        agree("torch against openvino / image", ours._engine.encode_images(pixels), engine.encode_images(pixels))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is one here")
def test_a_device_that_is_not_there_is_refused(tmp_path: Path) -> None:
    folder = save_random_model(tmp_path / "plain", CONFIG)
    with pytest.raises(InvalidSetting, match="DEVICE=cuda: torch sees no such device; allowed here: auto, cpu"):
        load(f"local-dir:{folder}", device="cuda")
