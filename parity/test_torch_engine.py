"""The torch engine: open_clip itself below the same preprocessing, tokenizer and batcher."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import torch

from openclip_api import load
from openclip_api.checkpoints.checkpoint import find
from openclip_api.engines.torch import TorchEngine
from openclip_api.errors import InvalidSetting, UnsupportedModel

from . import torch_forms
from .conftest import Agree
from .random_models import save_random_model
from .reference import Reference
from .samples import BATCH_OF_TEXTS, batch_of_images
from .transformers_models import SIZE, Case, bert_tokenizer, save, xlm_tokenizer

CONFIG = {
    "embed_dim": 24,
    "vision_cfg": {"image_size": 32, "patch_size": 8, "width": 48, "head_width": 12, "layers": 2},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 4, "layers": 2},
}


def with_qk_norm() -> dict:
    """A flag that no pretrained model has and no graph here knows."""
    return {**CONFIG, "vision_cfg": {**CONFIG["vision_cfg"], "qk_norm": True}}


def test_a_model_without_a_graph_runs_on_torch(tmp_path: Path, agree: Agree) -> None:
    folder = save_random_model(tmp_path / "custom", with_qk_norm())
    reference = Reference(folder)
    with closing(load(f"local-dir:{folder}", precision="fp32", image_reading="open_clip")) as ours:
        assert (ours.info.engine, ours.info.precision) == ("torch", "fp32")
        agree("torch engine / image", ours.embed_images(batch_of_images()), reference.embed_images(batch_of_images()))
        agree("torch engine / text", ours.embed_texts(BATCH_OF_TEXTS), reference.embed_texts(BATCH_OF_TEXTS))


@pytest.mark.parametrize(
    "save", [torch_forms.save_training_checkpoint, torch_forms.save_legacy, torch_forms.save_shards]
)
def test_torch_gets_weights_of_any_form(tmp_path: Path, save: Callable[..., Path], agree: Agree) -> None:
    folder = save_random_model(tmp_path / "custom", with_qk_norm())
    reference = Reference(folder)
    (folder / "open_clip_model.safetensors").unlink()
    save(reference.model, folder)
    with closing(load(f"local-dir:{folder}", precision="fp32", image_reading="open_clip")) as ours:
        assert ours.info.engine == "torch"
        agree(f"torch engine, {save.__name__}", ours.embed_texts(BATCH_OF_TEXTS), reference.embed_texts(BATCH_OF_TEXTS))


def test_both_engines_give_the_same_vectors(tmp_path: Path, agree: Agree) -> None:
    folder = save_random_model(tmp_path / "plain", CONFIG)
    pixels = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), np.uint8)
    engine = TorchEngine(find(f"local-dir:{folder}"), "cpu", "fp32")
    with closing(load(f"local-dir:{folder}", precision="fp32", image_reading="open_clip")) as ours:
        assert ours.info.engine == "openvino"
        agree("torch against openvino / image", ours._engine.encode_images(pixels), engine.encode_images(pixels))


def test_fp32_is_not_rounded_to_tf32(tmp_path: Path) -> None:
    """torch would let cuDNN do so; what others in the process chose is put back."""
    engine = TorchEngine(find(f"local-dir:{save_random_model(tmp_path / 'plain', CONFIG)}"), "cpu", "fp32")
    seen = []
    engine._model.encode_image = lambda x: seen.append(torch.backends.cudnn.allow_tf32) or torch.ones(len(x), 24)
    engine.encode_images(np.zeros((1, 32, 32, 3), np.uint8))
    assert (seen, torch.backends.cudnn.allow_tf32) == ([False], True)


def test_transformers_layout_runs_on_torch_too(tmp_path: Path, agree: Agree) -> None:
    """It is written as open_clip's for that: this proves the config and the names as well."""
    folder = save(Case(), tmp_path / "clip")
    engine = TorchEngine(find(f"local-dir:{folder}"), "cpu", "fp32")
    pixels = np.random.default_rng(0).integers(0, 256, (4, SIZE, SIZE, 3), np.uint8)
    with closing(load(f"local-dir:{folder}", precision="fp32", image_reading="open_clip")) as ours:
        ids = np.stack([ours._tokenizer(text).ids for text in BATCH_OF_TEXTS])
        agree("torch, transformers / image", engine.encode_images(pixels), ours._engine.encode_images(pixels))
        agree("torch, transformers / text", engine.encode_texts(ids), ours._engine.encode_texts(ids))


@pytest.mark.parametrize(
    "case", [Case("ChineseCLIP", tokenizer=bert_tokenizer), Case("AltCLIP", tokenizer=xlm_tokenizer)]
)
def test_what_open_clip_has_no_tower_for_is_refused_on_torch(case: Case, tmp_path: Path) -> None:
    folder = save(case, tmp_path / "model")
    with pytest.raises(UnsupportedModel, match="open_clip takes a BERT text tower"):
        TorchEngine(find(f"local-dir:{folder}"), "cpu", "fp32")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is one here")
def test_a_device_that_is_not_there_is_refused(tmp_path: Path) -> None:
    folder = save_random_model(tmp_path / "plain", CONFIG)
    with pytest.raises(InvalidSetting, match="DEVICE=cuda: torch sees no such device; allowed here: auto, cpu"):
        load(f"local-dir:{folder}", device="cuda")
