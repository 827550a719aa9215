from __future__ import annotations

from pathlib import Path

import pytest

from openclip_api.checkpoints import registry


def test_every_pair_of_open_clip_is_there():
    pairs = list(registry.all_pretrained())

    assert len(pairs) == 196
    assert len({(pair.name, pair.tag) for pair in pairs}) == 196
    for pair in pairs:
        assert pair.repo.count("/") == 1
        assert {"embed_dim", "vision_cfg", "text_cfg"} <= pair.config.as_written.keys()
        assert {"mean", "std", "interpolation", "resize_mode"} <= pair.preprocess.keys()


def test_a_pair():
    entry = registry.pretrained("ViT-B-32", "laion2b_s34b_b79k")

    assert entry.repo == "laion/CLIP-ViT-B-32-laion2B-s34B-b79K"
    assert entry.filename is None
    assert entry.config.embed_dim == 512


@pytest.mark.parametrize(
    ("tag", "quick_gelu"),
    [("openai", True), ("laion400m_e32", True), ("metaclip_fullcc", True), ("laion2b_e16", False)],
)
def test_the_tag_tells_quick_gelu(tag: str, quick_gelu: bool):
    assert registry.pretrained("ViT-B-32", tag).config.quick_gelu is quick_gelu
    # and the name's own entry is left as it was
    assert "quick_gelu" not in registry.architecture("ViT-B-32").as_written


def test_a_repository_that_names_its_file():
    entry = registry.pretrained("ViTamin-L", "datacomp1b")

    assert (entry.repo, entry.filename) == ("jienengchen/ViTamin-L-224px", "pytorch_model.bin")


def test_preprocessing_of_a_bare_name():
    assert registry.preprocess_of_name("ViTamin-L")["interpolation"] == "bicubic"
    # SigLIP's one tag squashes; the tags of a name whose tags differ say nothing
    assert registry.preprocess_of_name("ViT-B-16-SigLIP")["resize_mode"] == "squash"
    assert registry.preprocess_of_name("ViT-S-32") == {}


def test_no_two_names_or_tags_differ_only_in_their_spelling():
    for name in registry.names():
        assert registry.canonical_name(name) == name
        assert registry.canonical_name(name.upper().replace("-", "_")) == name
        for tag in registry.tags(name):
            assert registry.canonical_tag(name, tag.upper().replace("_", "-")) == tag


AMBIGUOUS = {"RN50", "RN50x4", "RN50x16", "RN50x64", "RN101", "ViT-B-16", "ViT-B-32", "ViT-bigG-14", "ViT-H-14",
             "ViT-H-14-378", "ViT-H-14-quickgelu", "ViT-H-14-worldwide", "ViT-L-14", "ViT-L-14-336"}  # fmt: skip


def test_the_names_for_which_a_bare_file_is_ambiguous():
    assert {name for name in registry.names() if registry.ambiguity(name, Path("x.pt"))} == AMBIGUOUS
    assert "MODEL_PRETRAINED=dfn5b:x.pt" in str(registry.ambiguity("ViT-H-14-quickgelu", Path("x.pt")))
    assert registry.ambiguity("ViT-B-32", Path("x.pt")) == (
        "MODEL_PRETRAINED x.pt: the file does not say how it was trained, so it is read as ViT-B-32 with GELU. "
        "Write MODEL_PRETRAINED=openai:x.pt if it was trained like openai (with QuickGELU), or laion2b_e16:x.pt if not"
    )
