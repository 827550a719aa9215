"""CoCa and the text towers from Hugging Face at their full size, the smallest of each: random weights."""

from __future__ import annotations

import copy
import json
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import transformers

from openclip_api import load
from openclip_api.checkpoints import registry
from openclip_api.models.hf import ENCODERS
from openclip_api.models.roberta import RobertaConfig

from . import random_tokenizers
from .conftest import Agree
from .random_models import save_random_model
from .reference import Reference
from .samples import BATCH_OF_TEXTS, photographs

TOKENIZERS = {"coca_ViT-B-32": None, "roberta-ViT-B-32": "roberta", "nllb-clip-base": "nllb"}


@pytest.fixture(scope="module", params=TOKENIZERS)
def saved(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Path, np.ndarray, np.ndarray]:
    """The reference takes the encoder's facts from a config.json, the program under test its own by name."""
    name, folder = request.param, tmp_path_factory.mktemp("model")
    config: dict[str, Any] = copy.deepcopy(registry.architecture(name).as_written)
    encoder = config["text_cfg"].get("hf_model_name")
    if encoder:
        save_encoder(encoder, folder / "encoder")
        config["text_cfg"]["hf_model_name"] = str(folder / "encoder")
    kind = TOKENIZERS[name]
    tokenizer = getattr(random_tokenizers, kind)(folder / "tokenizer") if kind else None
    save_random_model(folder / "model", config, tokenizer=tokenizer)
    reference = Reference(folder / "model")
    vectors = reference.embed_images(photographs()), reference.embed_texts(BATCH_OF_TEXTS)
    if encoder:
        config["text_cfg"]["hf_model_name"] = encoder
        (folder / "model" / "open_clip_config.json").write_text(json.dumps({"model_cfg": config}))
    return name, folder / "model", *vectors


def save_encoder(name: str, folder: Path) -> None:
    """With the shortest decoder: open_clip builds one and drops it."""
    facts = ENCODERS[name]
    if isinstance(facts, RobertaConfig):
        transformers.RobertaConfig(**asdict(facts)).save_pretrained(folder)
    else:
        transformers.M2M100Config(**asdict(facts), decoder_layers=1).save_pretrained(folder)


def test_vectors(saved: tuple[str, Path, np.ndarray, np.ndarray], precision: str, agree: Agree) -> None:
    name, folder, image_vectors, text_vectors = saved
    with closing(
        load(f"local-dir:{folder}", precision=precision, jpeg_scaling="off", image_reading="open_clip")
    ) as ours:
        agree(f"{name} full size / image", ours.embed_images(photographs()), image_vectors)
        agree(f"{name} full size / text", ours.embed_texts(BATCH_OF_TEXTS), text_vectors)
