"""ViTamin under each name that open_clip's table has: timm's class and options, a fraction of its size."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch

from openclip_api import load
from openclip_api.checkpoints import registry
from openclip_api.models import vitamin

from .conftest import Agree
from .random_models import save_random_model
from .reference import Reference
from .samples import BATCH_OF_TEXTS, TEXTS, batch_of_images, photographs
from .shrunk_timm import shrunk_vitamin

PAIRS = {
    f"{pair.name}:{pair.tag}": pair
    for pair in registry.all_pretrained()
    if str(pair.config.timm_model_name).startswith("vitamin")
}


def test_the_table_has_the_pairs_and_their_names_are_known() -> None:
    assert len(PAIRS) == 15
    assert {pair.config.timm_model_name for pair in PAIRS.values()} == set(vitamin.VARIANTS)


@pytest.mark.parametrize("name", vitamin.VARIANTS)
def test_the_names_stand_for_timm_s_sizes(name: str) -> None:
    trunk = timm.create_model(name, num_classes=0, device="meta")
    stages = trunk.patch_embed.backbone.stages
    widths = tuple(stage[0].out_chs for stage in stages)
    assert (trunk.patch_embed.backbone.stem.out_chs, tuple(map(len, stages))) == (widths[0], vitamin.STAGES)
    assert vitamin.VARIANTS[name] == vitamin.ViTaminVariant(
        (*widths, trunk.embed_dim), len(trunk.blocks), trunk.blocks[0].attn.num_heads, trunk.pos_embed is not None
    )
    assert {norm.eps for norm in trunk.modules() if isinstance(norm, torch.nn.LayerNorm)} == {vitamin.EPS}
    assert trunk.pos_embed is None or trunk.pos_embed.shape[1] == (int(name.rpartition("_")[2]) // 16) ** 2


@dataclass(frozen=True)
class Case:
    """A pair's own config but for its sizes; `pixels` of the image, `table` of timm's position table."""

    pair: str
    pixels: int = 64
    table: int = 64
    proj_bias: bool = False

    @property
    def timm_name(self) -> str:
        return PAIRS[self.pair].config.timm_model_name

    @property
    def size(self) -> vitamin.ViTaminVariant:
        full = vitamin.VARIANTS[self.timm_name]
        head_width = full.widths[-1] // full.heads
        return replace(full, widths=(16, 24, 2 * head_width), layers=2, heads=2)

    def config(self) -> dict[str, Any]:
        config = copy.deepcopy(PAIRS[self.pair].config.as_written)
        config["embed_dim"] = 48
        config["vision_cfg"] |= {"image_size": self.pixels}
        config["vision_cfg"] |= {"timm_proj_bias": True} if self.proj_bias else {}
        config["text_cfg"] |= {"width": 64, "heads": 4, "layers": 2}
        return config


CASES = {
    **{pair: Case(pair) for pair in PAIRS},
    "ViTamin-XL-384:datacomp1b": Case("ViTamin-XL-384:datacomp1b", pixels=64, table=96),  # as 256 and 384 there
    "halvings that round": Case("ViTamin-S:datacomp1b", pixels=56, table=56),  # 28, 14, 7, 4
    "proj_bias": Case("ViTamin-S:datacomp1b", proj_bias=True),
}


@pytest.fixture(params=CASES)
def saved(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Path, np.ndarray, np.ndarray]]:
    """A folder, and open_clip's vectors from it, while timm's name stands for the small size."""
    case = CASES[request.param]
    folder = tmp_path / "model"
    with shrunk_vitamin(case.timm_name, case.size, case.table):
        save_random_model(folder, case.config(), preprocess_cfg=PAIRS[case.pair].preprocess)
        reference = Reference(folder)
        yield folder, reference.embed_images(batch_of_images()), reference.embed_texts(BATCH_OF_TEXTS)


def test_vectors(saved: tuple[Path, np.ndarray, np.ndarray], precision: str, agree: Agree) -> None:
    """All at once, and one by one."""
    folder, image_vectors, text_vectors = saved
    images, texts = batch_of_images(), BATCH_OF_TEXTS
    with closing(
        load(f"local-dir:{folder}", precision=precision, jpeg_scaling="off", image_reading="open_clip")
    ) as ours:
        agree("ViTamin / image", ours.embed_images(images), image_vectors)
        agree("ViTamin / text", ours.embed_texts(texts), text_vectors)
        singles = np.concatenate([ours.embed_images([data]) for data in images[:8]])
        agree("ViTamin / image", singles, image_vectors[:8])
        singles = np.concatenate([ours.embed_texts([text]) for text in texts[:8]])
        agree("ViTamin / text", singles, text_vectors[:8])


@pytest.fixture(scope="module")
def full_size(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray, np.ndarray]:
    pair = PAIRS["ViTamin-S:datacomp1b"]
    folder = save_random_model(
        tmp_path_factory.mktemp("ViTamin-S"), pair.config.as_written, preprocess_cfg=pair.preprocess
    )
    reference = Reference(folder)
    return folder, reference.embed_images(photographs()), reference.embed_texts(TEXTS)


def test_vectors_at_full_size(full_size: tuple[Path, np.ndarray, np.ndarray], precision: str, agree: Agree) -> None:
    folder, image_vectors, text_vectors = full_size
    with closing(
        load(f"local-dir:{folder}", precision=precision, jpeg_scaling="off", image_reading="open_clip")
    ) as ours:
        agree("ViTamin-S full size / image", ours.embed_images(photographs()), image_vectors)
        agree("ViTamin-S full size / text", ours.embed_texts(TEXTS), text_vectors)
