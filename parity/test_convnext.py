"""timm's ConvNeXt towers against open_clip: every name of the table, with fewer and narrower layers."""

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
from openclip_api.models.convnext import EPS

from .conftest import Agree
from .random_models import save_random_model
from .reference import Reference
from .samples import TEXTS, batch_of_images
from .shrunk import timm_sizes, with_small_text

SIZES = {"depths": (1, 2, 3, 1), "dims": (16, 24, 40, 64)}
FLAGS = {"image_size", "timm_model_name", "timm_model_pretrained", "timm_pool", "timm_proj", "timm_drop",
         "timm_drop_path"}  # fmt: skip


def is_convnext(config: dict[str, Any]) -> bool:
    return config["vision_cfg"].get("timm_model_name", "").startswith("convnext")


NAMES = [name for name in open_clip.list_models() if is_convnext(registry.architecture(name).as_written)]
BASE = registry.architecture("convnext_base").as_written
LARGE_D = registry.architecture("convnext_large_d").as_written

# Name → config, and how its weights are saved.
CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    **{name: (with_small_text(registry.architecture(name).as_written, image_size=64), {}) for name in NAMES},
    "pool_avg": (with_small_text(BASE, image_size=64, timm_pool="avg"), {}),
    "proj_none": (with_small_text(BASE, image_size=64, timm_pool="avg", timm_proj="none") | {"embed_dim": 64}, {}),
    "proj_bias": (with_small_text(BASE, image_size=64, timm_proj_bias=True), {}),
    "mlp_proj_bias": (with_small_text(LARGE_D, image_size=64, timm_proj_bias=True), {}),
    "size_between_patches": (with_small_text(BASE, image_size=75), {}),
    "custom_text": (with_small_text(BASE, image_size=64) | {"custom_text": True}, {}),
    "fp16_weights": (with_small_text(BASE, image_size=64), {"dtype": torch.float16}),
    "bf16_weights": (with_small_text(LARGE_D, image_size=64), {"dtype": torch.bfloat16}),
}


def test_the_table_has_no_other_names_and_flags() -> None:
    pairs = [pair for pair in registry.all_pretrained() if is_convnext(pair.config.as_written)]
    assert len(NAMES) == 11
    assert len(pairs) == 12
    for config in [registry.architecture(name).as_written for name in NAMES] + [
        pair.config.as_written for pair in pairs
    ]:
        assert config["vision_cfg"]["timm_model_name"] in EPS
        assert config["vision_cfg"].keys() == FLAGS
        assert config.keys() == {"embed_dim", "vision_cfg", "text_cfg"}


def save(folder: Path, config: dict[str, Any], **saving: Any) -> Reference:
    """Writes the folder; what comes back is open_clip's model from it."""
    with timm_sizes(config["vision_cfg"]["timm_model_name"], **SIZES):
        save_random_model(folder, config, **saving)
        return Reference(folder)


@pytest.fixture(scope="module", params=CASES)
def saved(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Path, np.ndarray, np.ndarray]:
    config, saving = CASES[request.param]
    folder = tmp_path_factory.mktemp("model")
    reference = save(folder, config, **saving)
    return request.param, folder, reference.embed_images(batch_of_images()), reference.embed_texts(TEXTS)


def test_vectors(saved: tuple[str, Path, np.ndarray, np.ndarray], precision: str, agree: Agree) -> None:
    name, folder, image_vectors, text_vectors = saved
    images = batch_of_images()
    with closing(
        load(f"local-dir:{folder}", precision=precision, jpeg_scaling="off", image_reading="open_clip")
    ) as ours:
        agree(f"convnext {name} / image", ours.embed_images(images), image_vectors)
        singles = np.concatenate([ours.embed_images([data]) for data in images[:8]])
        agree(f"convnext {name} / image", singles, image_vectors[:8])
        agree(f"convnext {name} / text", ours.embed_texts(TEXTS), text_vectors)


def test_the_epsilons_are_timm_s() -> None:
    for name, eps in EPS.items():
        with timm_sizes(name, **SIZES):
            tower = open_clip.timm_model.TimmModel(name, 48, pool="", proj="linear")
        assert {module.eps for module in tower.modules() if isinstance(module, torch.nn.LayerNorm)} == {eps}
