"""timm's plain vision transformers against open_clip: SigLIP, SigLIP 2, MobileCLIP-B and MobileCLIP2-L-14."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from timm.layers import GELUTanh

from openclip_api import load
from openclip_api.models.layers import gelu, gelu_tanh
from openclip_api.models.timm_vit import BATCH_NORM_EPS, VARIANTS

from .conftest import MOST_DISTANCE, Agree, worst
from .samples import batch_of_images
from .timm_towers import Saved, Shrunk, layer_norm_eps, pairs, save_full_size

PAIRS = pairs(
    lambda name: name.startswith(("vit_base_patch", "vit_large_", "vit_so400m", "vit_giantopt", "vit_base_mci"))
)
CASES = {
    key: Shrunk(pair, VARIANTS[pair.config.timm_model_name].heads) for key, pair in PAIRS.items()
}  # a name that is not known fails here
BY_NAME = {case.name: case for case in CASES.values()}
SAVED = {
    "bf16 weights": (CASES["ViT-B-16-SigLIP2:webli"], {"dtype": torch.bfloat16}),
    "fp16 weights": (CASES["MobileCLIP2-B:dfndr2b"], {"dtype": torch.float16}),
    "module prefix": (CASES["MobileCLIP2-L-14:dfndr2b"], {"key_prefix": "module."}),
    "9 x 9 patches": (replace(CASES["ViT-SO400M-14-SigLIP-384:webli"], grid=9), {}),
}


def test_the_table_s_pairs_and_names() -> None:
    siglip = {key for key in PAIRS if "SigLIP" in key}
    assert len(siglip) == 26
    assert PAIRS.keys() - siglip == {
        "MobileCLIP-B:datacompdr", "MobileCLIP-B:datacompdr_lt", "MobileCLIP2-B:dfndr2b", "MobileCLIP2-L-14:dfndr2b"
    }  # fmt: skip
    assert VARIANTS.keys() - BY_NAME.keys() == {"vit_base_patch16_224"}  # test_biomed_clip.py
    assert BY_NAME.keys() <= VARIANTS.keys()


@pytest.mark.parametrize("name", BY_NAME)
def test_the_variants_are_timm_s(name: str) -> None:
    trunk, variant = BY_NAME[name].trunk(), VARIANTS[name]
    assert {block.attn.num_heads for block in trunk.blocks} == {variant.heads}
    assert {type(block.mlp.act) for block in trunk.blocks} <= {torch.nn.GELU, GELUTanh}
    assert {gelu_tanh if type(block.mlp.act) is GELUTanh else gelu for block in trunk.blocks} == {variant.activation}
    assert layer_norm_eps(trunk) == {variant.eps}
    assert trunk.global_pool == variant.pool
    assert (trunk.cls_token is not None) == (variant.pool == "token")
    assert (trunk.attn_pool is not None) == (variant.pool == "map")
    if trunk.attn_pool is not None:
        assert trunk.attn_pool.num_heads == variant.heads
        assert type(trunk.attn_pool.mlp.act) is type(trunk.blocks[0].mlp.act)
    batch_norms = {module.eps for module in trunk.modules() if isinstance(module, torch.nn.BatchNorm2d)}
    assert batch_norms == ({BATCH_NORM_EPS} if variant.conv_stem else set())


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
        ("ViT-B-16-SigLIP2:webli", {"activation": gelu_tanh}),
        ("ViT-B-32-SigLIP2-256:webli", {"activation": gelu}),
        ("ViT-SO400M-16-SigLIP2-256:webli", {"heads": 8}),
        ("MobileCLIP-B:datacompdr", {"heads": 6}),
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


@pytest.mark.parametrize("key", ["ViT-B-16-SigLIP:webli", "MobileCLIP-B:datacompdr"])
def test_vectors_at_full_size(key: str, tmp_path: Path, agree: Agree, precision: str) -> None:
    save_full_size(PAIRS[key], tmp_path).assert_agrees(f"{key} full size", precision, agree)
