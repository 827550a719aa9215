"""Models in transformers' layout against transformers itself: from an image's bytes and a string to the vector."""

from __future__ import annotations

import json
import re
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from openclip_api import load
from openclip_api.checkpoints.checkpoint import find
from openclip_api.inputs.tokenizer import build_tokenizer
from openclip_api.models.architecture import vocab_size

from .conftest import Agree, worst
from .images import files
from .samples import BATCH_OF_TEXTS, photographs
from .texts import NASTY, long_texts, random_texts
from .transformers_models import (
    IMAGES,
    LONGEST,
    PROJECTED,
    SIGLIP,
    SIZE,
    SQUARE,
    Case,
    Reference,
    bert_tokenizer,
    gemma_tokenizer,
    older_files,
    older_images,
    save,
    siglip_tokenizer,
    vocabulary_files,
    xlm_tokenizer,
)

# Between transformers' resize in torch and Pillow's there is a rounding of a level out of 255 here and there.
LEAST_COSINE = 0.9999

MASK: dict[str, Any] = {"padding": "max_length"}  # SigLIP was trained on texts that are filled up, without a mask


def cased(folder: Path) -> None:
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"do_lower_case": False}))


CASES: dict[str, Case] = {
    "clip": Case(),
    "clip_gelu_old_eos": Case(
        image={"hidden_act": "gelu", "layer_norm_eps": 1e-3, "intermediate_size": 97},
        text={"hidden_act": "gelu", "layer_norm_eps": 1e-3, "eos_token_id": 2, "num_attention_heads": 3},
    ),
    "clip_tanh_image": Case(image={"hidden_act": "gelu_new"}, text={"hidden_act": "gelu"}),
    "clip_old_files": Case(changed=older_files),
    "clip_half": Case(dtype=torch.float16),
    "clip_brain": Case(dtype=torch.bfloat16),
    "clip_larger_resize": Case(processor=IMAGES | {"size": {"shortest_edge": SIZE + 9}, "resample": 2}),
    "clip_square": Case(processor=SQUARE | {"do_center_crop": False, "image_mean": [0.1, 0.2, 0.3]}),
    "clip_other_factor": Case(processor=IMAGES | {"rescale_factor": 1 / 127.5, "image_mean": [1, 1, 1]}),
    "clip_no_normalisation": Case(processor=IMAGES | {"do_normalize": False}),
    "clip_no_rescale": Case(processor=IMAGES | {"do_rescale": False, "image_mean": [120] * 3, "image_std": [60] * 3}),
    "clip_shorter_texts": Case(text={"max_position_embeddings": LONGEST + 7}),
    "clip_odd_image": Case(
        image={"image_size": 45, "patch_size": 11}, processor={"size": {"shortest_edge": 45}, "crop_size": 45}
    ),
    "metaclip_2": Case("MetaClip2", tokenizer=xlm_tokenizer),
    "siglip": Case(**SIGLIP, text=PROJECTED, tokenizer=siglip_tokenizer),
    "siglip_sizes": Case(
        **SIGLIP | {"processor": {"size": {"height": 70, "width": 70}}},
        image={"image_size": 70, "patch_size": 14, "hidden_size": 36, "intermediate_size": 134},
        text={"hidden_size": 24, "projection_size": 36, "intermediate_size": 61},
        tokenizer=siglip_tokenizer,
        changed=older_images,
    ),
    "siglip_2": Case(**SIGLIP, text=PROJECTED, tokenizer=gemma_tokenizer),
    "siglip_2_half": Case(**SIGLIP, text=PROJECTED, tokenizer=gemma_tokenizer, dtype=torch.float16),
    "siglip_erf": Case(
        **SIGLIP, image={"hidden_act": "gelu"}, text=PROJECTED | {"hidden_act": "gelu"}, tokenizer=gemma_tokenizer
    ),
    "chinese_clip": Case("ChineseCLIP", tokenizer=bert_tokenizer, text={"layer_norm_eps": 1e-3}),
    "chinese_clip_vocabulary": Case("ChineseCLIP", tokenizer=bert_tokenizer, changed=vocabulary_files),
    "chinese_clip_cased": Case("ChineseCLIP", tokenizer=bert_tokenizer, changed=cased),
    "altclip": Case("AltCLIP", tokenizer=xlm_tokenizer, text={"project_dim": 40, "layer_norm_eps": 1e-3}),
}


# Each of another kind of tokenizer, or of its files.
TOKENIZERS = ("clip", "clip_old_files", "metaclip_2", "siglip", "siglip_2", "chinese_clip_vocabulary",
              "chinese_clip_cased", "altclip")  # fmt: skip
ALL_IMAGES = ("clip", "clip_larger_resize", "siglip")  # files of each format and mode; for the others a few


SURROGATES = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class Saved:
    name: str
    folder: Path
    reference: Reference


@pytest.fixture(scope="module", params=CASES)
def saved(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Saved:
    case = CASES[request.param]
    folder = save(case, tmp_path_factory.mktemp("model"))
    options = MASK if case.kind == "Siglip" else {}
    limit = {} if case.kind != "ChineseCLIP" else {"max_length": 60}  # its tokenizer knows of no limit
    return Saved(request.param, folder, Reference(folder, **options, **limit))


def test_vectors(saved: Saved, precision: str, agree: Agree) -> None:
    """One by one, and all at once: texts of all lengths then share a batch."""
    reference = saved.reference
    images = [*photographs(), *(files(300, 200).values() if saved.name in ALL_IMAGES else ())]
    with closing(
        load(f"local-dir:{saved.folder}", precision=precision, jpeg_scaling="off", image_reading="open_clip")
    ) as ours:
        texts = reference.embed_texts(BATCH_OF_TEXTS)
        agree(f"transformers / {saved.name} / text", ours.embed_texts(BATCH_OF_TEXTS), texts)
        singles = np.concatenate([ours.embed_texts([text]) for text in BATCH_OF_TEXTS])
        agree(f"transformers / {saved.name} / text", singles, texts)
        vectors = ours.embed_images(images)
        same_pixels = Reference(saved.folder, "pil").embed_images(images)
        agree(f"transformers / {saved.name} / image", vectors, same_pixels)
        if precision == "fp32":
            assert worst(vectors, reference.embed_images(images))[0] >= LEAST_COSINE


def test_ids(saved: Saved) -> None:
    if saved.name not in TOKENIZERS:
        pytest.skip("another case has the same tokenizer")
    texts = [*NASTY, *random_texts(300, seed=1), *long_texts(30, seed=2)]
    texts = [text for text in texts if text.isascii() or not SURROGATES.search(text)]  # which its tokenizers refuse
    checkpoint = find(f"local-dir:{saved.folder}")
    length = checkpoint.config.tokenizer.context_length
    ours = build_tokenizer(checkpoint.config.tokenizer, checkpoint.tokenizer, vocab_size(checkpoint.config))
    padded = {"padding": "max_length", "truncation": True, "max_length": length}
    expected = saved.reference.processor(text=texts, **padded)["input_ids"]
    wrong = [text for text, ids in zip(texts, expected, strict=True) if not np.array_equal(ours(text).ids, ids)]
    assert not wrong
