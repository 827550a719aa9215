"""A folder whose config asks for another image size or context length than its weights have, against open_clip's
force_image_size and force_context_length."""

from __future__ import annotations

import copy
import io
import json
from contextlib import closing
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from PIL import Image

from openclip_api import load
from openclip_api.checkpoints.registry import pretrained
from openclip_api.models import eva, timm_vit, vitamin

from .conftest import Agree
from .random_models import save_random_model
from .samples import TEXTS, photographs
from .shrunk_timm import shrunk_vitamin
from .test_towers import BASE
from .timm_towers import Shrunk

NATIVE = {
    "larger": ({}, 96, 77),
    "smaller": ({}, 32, 77),
    "a grid that divides nothing": ({}, 176, 77),
    "a longer context": ({}, 64, 120),
    "a shorter context": ({}, 64, 30),
    "both": ({"custom_text": True}, 112, 33),
}
TIMM = {
    "ViT-B-16-SigLIP:webli": timm_vit.VARIANTS,
    "MobileCLIP2-L-14:dfndr2b": timm_vit.VARIANTS,
    "MobileCLIP-B:datacompdr": timm_vit.VARIANTS,
    "EVA01-g-14:laion400m_s11b_b41k": eva.VARIANTS,
    "EVA02-B-16:merged2b_s8b_b131k": eva.VARIANTS,
    "PE-Core-B-16:meta": eva.VARIANTS,
    "PE-Core-bigG-14-448:meta": eva.VARIANTS,
}
SIZES = {"larger": 7, "smaller": 3}


def compare(agree: Agree, label: str, precision: str, folder: Path, pixels: int, context: int) -> None:
    """`folder` asks for the weights' own sizes while open_clip reads it, and for the new ones when we do."""
    forced = {"force_image_size": pixels, "force_context_length": context}
    model, preprocess = open_clip.create_model_from_pretrained(f"local-dir:{folder}", **forced)
    tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}", context_length=context)
    with torch.no_grad():
        batch = torch.stack([preprocess(Image.open(io.BytesIO(data))) for data in photographs()])
        images, texts = model.eval().encode_image(batch).numpy(), model.encode_text(tokenizer(TEXTS)).numpy()
    path = folder / "open_clip_config.json"
    config = json.loads(path.read_text())
    config["model_cfg"]["vision_cfg"]["image_size"] = pixels
    config["model_cfg"]["text_cfg"]["context_length"] = context
    path.write_text(json.dumps(config))
    with closing(
        load(f"local-dir:{folder}", precision=precision, jpeg_scaling="off", image_reading="open_clip")
    ) as ours:
        assert (ours.info.image_size, ours.info.context_length) == (pixels, context)
        agree(f"resized positions: {label} / image", ours.embed_images(photographs()), images)
        agree(f"resized positions: {label} / text", ours.embed_texts(TEXTS), texts)


@pytest.mark.parametrize("case", NATIVE)
def test_native_towers(tmp_path: Path, case: str, precision: str, agree: Agree) -> None:
    top, pixels, context = NATIVE[case]
    folder = save_random_model(tmp_path, copy.deepcopy(BASE) | top)
    compare(agree, case, precision, folder, pixels, context)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("key", TIMM)
def test_timm_towers(tmp_path: Path, key: str, size: str, precision: str, agree: Agree) -> None:
    pair = pretrained(*key.split(":"))
    case = Shrunk(pair, TIMM[key][pair.config.timm_model_name].heads, head_width=8)
    case.save(tmp_path)
    patch = case.pixels // case.grid
    with case.entered():
        compare(agree, key, precision, tmp_path, SIZES[size] * patch, json_context(tmp_path))


@pytest.mark.parametrize("pixels", [96, 48])
def test_vitamin(tmp_path: Path, pixels: int, precision: str, agree: Agree) -> None:
    pair = pretrained("ViTamin-S", "datacomp1b")
    small = vitamin.ViTaminVariant((16, 24, 128), layers=2, heads=2)
    config: dict[str, Any] = copy.deepcopy(dict(pair.config.as_written))
    config["embed_dim"] = 48
    config["vision_cfg"] |= {"image_size": 64}
    config["text_cfg"] |= {"width": 64, "heads": 4, "layers": 2}
    with shrunk_vitamin("vitamin_small_224", small, 64):
        folder = save_random_model(tmp_path, config, preprocess_cfg=dict(pair.preprocess))
        compare(agree, "ViTamin", precision, folder, pixels, 77)


def json_context(folder: Path) -> int:
    config = json.loads((folder / "open_clip_config.json").read_text())
    context: int = config["model_cfg"]["text_cfg"].get("context_length", 77)
    return context
