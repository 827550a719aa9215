"""What `openclip-api convert` writes, read by open_clip itself, against the source's own vectors."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch

from openclip_api import load
from openclip_api.checkpoints.checkpoint import find
from openclip_api.cli import main
from openclip_api.engines.torch import TorchEngine
from tests.golden import MODELS, TRANSFORMERS

from .conftest import Agree
from .random_models import save_random_model
from .reference import Reference
from .samples import TEXTS, photographs
from .test_towers import BASE
from .torch_forms import save_legacy, save_shards, save_torchscript, save_training_checkpoint

FORMS: dict[str, Callable[[torch.nn.Module, Path], Path]] = {
    "a training checkpoint": save_training_checkpoint,
    "TorchScript": save_torchscript,
    "the older form": save_legacy,
    "shards": save_shards,
}


@pytest.mark.parametrize("form", FORMS)
def test_torch_s_forms(tmp_path: Path, form: str, precision: str, agree: Agree) -> None:
    """The reference is open_clip on the folder that was saved; TorchScript has its weights in half precision."""
    folder = save_random_model(tmp_path / "source", BASE)
    model = open_clip.create_model(f"local-dir:{folder}").eval()
    FORMS[form](model, folder)
    (folder / "open_clip_model.safetensors").unlink()
    assert main(["convert", str(folder), str(tmp_path / "out")]) == 0
    theirs = Reference(tmp_path / "out")
    with closing(
        load(f"local-dir:{folder}", precision=precision, jpeg_scaling="off", image_reading="open_clip")
    ) as ours:
        agree(f"convert: {form} / image", ours.embed_images(photographs()), theirs.embed_images(photographs()))
        agree(f"convert: {form} / text", ours.embed_texts(TEXTS), theirs.embed_texts(TEXTS))
    if form != "TorchScript":
        np.testing.assert_array_equal(
            theirs.model.visual.conv1.weight.detach().numpy(), model.visual.conv1.weight.detach().numpy()
        )


@pytest.mark.parametrize("golden", [MODELS["roberta"], MODELS["coca"], MODELS["mixed"], TRANSFORMERS["clip"]])
def test_golden_models(tmp_path: Path, golden: Path, precision: str, agree: Agree) -> None:
    """Ours and open_clip's from the folder that was written."""
    assert main(["convert", str(golden), str(tmp_path / "out")]) == 0
    theirs = Reference(tmp_path / "out")
    label = f"convert: {golden.parent.name}/{golden.name}"
    with closing(
        load(f"local-dir:{tmp_path / 'out'}", precision=precision, jpeg_scaling="off", image_reading="open_clip")
    ) as ours:
        agree(f"{label} / image", ours.embed_images(photographs()), theirs.embed_images(photographs()))
        agree(f"{label} / text", ours.embed_texts(TEXTS), theirs.embed_texts(TEXTS))


def test_the_torch_engine_takes_each_form(tmp_path: Path) -> None:
    for golden in (MODELS["training"], MODELS["mixed"], TRANSFORMERS["clip"]):
        checkpoint = find(f"local-dir:{golden}")
        size = checkpoint.config.image_size
        assert TorchEngine(checkpoint).encode_images(np.zeros((1, size, size, 3), np.uint8)).shape[0] == 1
