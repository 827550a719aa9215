"""timm's EVA towers against open_clip: EVA01, EVA02 and PE-Core."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from timm.layers import SwiGLU
from timm.models.eva import EvaBlockPostNorm

from openclip_api import load
from openclip_api.models.eva import POOL_HEADS, TEMPERATURE, VARIANTS, Rotary

from .conftest import MOST_DISTANCE, Agree, worst
from .samples import batch_of_images
from .timm_towers import Saved, Shrunk, layer_norm_eps, pairs, save_full_size

PAIRS = pairs(lambda name: name.startswith(("eva", "vit_pe_")))
CASES = {key: Shrunk(pair, VARIANTS[pair.config.timm_model_name].heads, head_width=8) for key, pair in PAIRS.items()}
BY_NAME = {case.name: case for case in CASES.values()}
SAVED = {
    "EVA02 bf16 weights": (CASES["EVA02-B-16:merged2b_s8b_b131k"], {"dtype": torch.bfloat16}),
    "PE fp16 weights": (CASES["PE-Core-T-16-384:meta"], {"dtype": torch.float16}),
    "EVA02 7 x 7 patches": (replace(CASES["EVA02-L-14-336:merged2b_s6b_b61k"], grid=7), {}),
    "PE 7 x 7 patches": (replace(CASES["PE-Core-B-16:meta"], grid=7, head_width=16), {}),
}


def test_the_table_s_pairs_and_names() -> None:
    assert len([key for key in PAIRS if key.startswith("EVA")]) == 7
    assert len([key for key in PAIRS if key.startswith("PE-Core")]) == 5
    assert len(PAIRS) == 12
    assert BY_NAME.keys() == VARIANTS.keys()


@pytest.mark.parametrize("name", VARIANTS)
def test_the_variants_are_timm_s(name: str) -> None:
    trunk, variant = BY_NAME[name].trunk(), VARIANTS[name]
    block = trunk.blocks[0]
    assert block.attn.num_heads == variant.heads
    assert layer_norm_eps(trunk) == {variant.eps}
    assert trunk.global_pool == variant.pool
    assert (trunk.cls_token is not None) == variant.class_token
    assert isinstance(block, EvaBlockPostNorm) == variant.post_norm
    assert isinstance(block.mlp, SwiGLU) == variant.inner_norms
    assert variant.inner_norms or type(block.mlp.act) is torch.nn.GELU
    assert (trunk.rope is None) == (variant.rotary is None)
    if trunk.rope is not None:
        rope = trunk.rope
        assert variant.rotary == Rotary(rope.ref_feat_shape[0], rope.grid_offset, rope.grid_indexing == "xy")
        assert rope.temperature == TEMPERATURE
        assert not rope.rotate_half
        assert not rope.in_pixels
    if trunk.attn_pool is not None:
        assert trunk.attn_pool.num_heads == POOL_HEADS


@pytest.fixture(scope="module", params=[*CASES, *SAVED])
def saved(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Saved]:
    case, saving = SAVED[request.param] if request.param in SAVED else (CASES[request.param], {})
    return request.param, case.save(tmp_path_factory.mktemp("model"), **saving)


def test_vectors(saved: tuple[str, Saved], precision: str, agree: Agree) -> None:
    name, model = saved
    model.assert_agrees(name, precision, agree)


@pytest.mark.parametrize(
    ("key", "other"),
    [
        ("EVA02-B-16:merged2b_s8b_b131k", {"rotary": Rotary(14)}),
        ("EVA02-E-14:laion2b_s4b_b115k", {"heads": 8}),
        ("PE-Core-B-16:meta", {"rotary": Rotary(14, 0.0, True)}),
        ("PE-Core-bigG-14-448:meta", {"rotary": Rotary(32)}),
        ("PE-Core-bigG-14-448:meta", {"eps": 1e-3}),
    ],
)
def test_a_wrong_fact_would_be_seen(
    key: str, other: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = CASES[key]
    model = case.save(tmp_path)
    monkeypatch.setitem(VARIANTS, case.name, replace(VARIANTS[case.name], **other))
    with closing(load(f"local-dir:{model.folder}", precision="fp32", image_reading="open_clip")) as ours:
        _, distance = worst(ours.embed_images(batch_of_images()), model.image_vectors)
    assert distance > 2 * MOST_DISTANCE["fp32"]


@pytest.mark.parametrize("key", ["EVA02-B-16:merged2b_s8b_b131k", "PE-Core-T-16-384:meta"])
def test_vectors_at_full_size(key: str, tmp_path: Path, agree: Agree, precision: str) -> None:
    save_full_size(PAIRS[key], tmp_path).assert_agrees(f"{key} full size", precision, agree)
