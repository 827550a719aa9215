"""timm's FastViT towers (MobileCLIP) against open_clip: every name of the table, with fewer and narrower layers."""

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
from openclip_api.models.fastvit import VARIANTS

from .conftest import Agree
from .random_models import save_random_model
from .reference import Reference
from .samples import TEXTS, batch_of_images
from .shrunk import timm_sizes, with_small_text

# Four stages for MCi0 to MCi2, five for MCi3 and MCi4; attention has heads of 32.
SIZES = {4: {"layers": (1, 2, 1, 2), "embed_dims": (16, 32, 64, 128)},
         5: {"layers": (1, 2, 1, 2, 1), "embed_dims": (8, 16, 32, 64, 128)}}  # fmt: skip
FLAGS = {"image_size", "timm_model_name", "timm_model_pretrained", "timm_pool", "timm_proj", "timm_drop",
         "timm_drop_path"}  # fmt: skip


def is_fastvit(config: dict[str, Any]) -> bool:
    return config["vision_cfg"].get("timm_model_name", "").startswith("fastvit")


NAMES = [name for name in open_clip.list_models() if is_fastvit(registry.architecture(name).as_written)]
S1 = registry.architecture("MobileCLIP-S1").as_written
S3 = registry.architecture("MobileCLIP2-S3").as_written

# Name → config, and how its weights are saved.
CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    **{name: (with_small_text(registry.architecture(name).as_written, image_size=128), {}) for name in NAMES},
    "image_size_256": (with_small_text(S1), {}),
    "proj_linear": (with_small_text(S1, image_size=96, timm_proj="linear"), {}),
    "proj_mlp": (with_small_text(S3, image_size=96, timm_proj="mlp"), {}),
    "size_between_strides": (with_small_text(S1, image_size=107), {}),
    "fp16_weights": (with_small_text(S1, image_size=96), {"dtype": torch.float16}),
    "bf16_weights": (with_small_text(S3, image_size=96), {"dtype": torch.bfloat16}),
}


def test_the_table_has_no_other_names_and_flags() -> None:
    pairs = [pair for pair in registry.all_pretrained() if is_fastvit(pair.config.as_written)]
    assert len(pairs) == 6
    assert {pair.config.timm_model_name for pair in pairs} == VARIANTS.keys()
    for config in [registry.architecture(name).as_written for name in NAMES] + [
        pair.config.as_written for pair in pairs
    ]:
        assert config["vision_cfg"]["timm_model_name"] in VARIANTS
        assert config["vision_cfg"].keys() == FLAGS
        assert config.keys() == {"embed_dim", "vision_cfg", "text_cfg", "custom_text"}


def save(folder: Path, config: dict[str, Any], **saving: Any) -> Reference:
    """Writes the folder; what comes back is open_clip's model from it."""
    name = config["vision_cfg"]["timm_model_name"]
    with timm_sizes(name, **SIZES[VARIANTS[name].stages]):
        save_random_model(folder, config, spread=1.2, **saving)
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
        agree(f"fastvit {name} / image", ours.embed_images(images), image_vectors)
        singles = np.concatenate([ours.embed_images([data]) for data in images[:8]])
        agree(f"fastvit {name} / image", singles, image_vectors[:8])
        agree(f"fastvit {name} / text", ours.embed_texts(TEXTS), text_vectors)
