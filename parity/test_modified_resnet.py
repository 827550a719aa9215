"""OpenCLIP's ResNets against open_clip: the table's flags, and stages of other depths, widths and heads."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch

from openclip_api import load
from openclip_api.checkpoints import registry

from .conftest import Agree
from .random_models import save_random_model
from .reference import Reference
from .samples import TEXTS, batch_of_images
from .shrunk import with_small_text

# Depths of each kind: first blocks of every stage with and without followers.
SMALL = {"layers": [2, 1, 3, 2], "width": 16, "image_size": 96}
RN50 = open_clip.get_model_config("RN50")

CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "plain": (with_small_text(RN50, **SMALL), {}),
    "quickgelu": (with_small_text(open_clip.get_model_config("RN50-quickgelu"), **SMALL), {}),
    "head_width_32": (with_small_text(RN50, **SMALL, head_width=32), {}),
    "width_24": (with_small_text(RN50, **SMALL | {"width": 24, "image_size": 64}), {}),
    "one_block_a_stage": (with_small_text(RN50, **SMALL | {"layers": [1, 1, 1, 1], "image_size": 64}), {}),
    "fp16_weights": (with_small_text(RN50, **SMALL), {"dtype": torch.float16}),
    "bf16_weights": (with_small_text(RN50, **SMALL), {"dtype": torch.bfloat16}),
    "module_prefix": (with_small_text(RN50, **SMALL), {"key_prefix": "module."}),
}


def is_resnet(config: dict[str, Any]) -> bool:
    return isinstance(config["vision_cfg"].get("layers"), list)


def test_the_table_has_no_other_flags() -> None:
    names = [name for name in open_clip.list_models() if is_resnet(registry.architecture(name).as_written)]
    pairs = [pair for pair in registry.all_pretrained() if is_resnet(pair.config.as_written)]
    assert len(names) == 10
    assert len(pairs) == 16
    for config in [registry.architecture(name).as_written for name in names] + [
        pair.config.as_written for pair in pairs
    ]:
        assert config["vision_cfg"].keys() == {"image_size", "layers", "width", "patch_size"}
        assert config["vision_cfg"]["patch_size"] is None
        assert config.keys() <= {"embed_dim", "quick_gelu", "vision_cfg", "text_cfg"}


@pytest.fixture(scope="module", params=CASES)
def saved(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Path, np.ndarray, np.ndarray]:
    config, saving = CASES[request.param]
    folder = save_random_model(tmp_path_factory.mktemp("model"), config, **saving)
    reference = Reference(folder)
    return request.param, folder, reference.embed_images(batch_of_images()), reference.embed_texts(TEXTS)


def test_vectors(saved: tuple[str, Path, np.ndarray, np.ndarray], precision: str, agree: Agree) -> None:
    name, folder, image_vectors, text_vectors = saved
    images = batch_of_images()
    with closing(
        load(f"local-dir:{folder}", precision=precision, jpeg_scaling="off", image_reading="open_clip")
    ) as ours:
        agree(f"resnet {name} / image", ours.embed_images(images), image_vectors)
        singles = np.concatenate([ours.embed_images([data]) for data in images[:8]])
        agree(f"resnet {name} / image", singles, image_vectors[:8])
        agree(f"resnet {name} / text", ours.embed_texts(TEXTS), text_vectors)
