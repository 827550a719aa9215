"""Which file of a folder has the weights: what is in it decides, and then open_clip's order of names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from openclip_api.checkpoints.folder_weights import weights_in
from openclip_api.checkpoints.forms import is_open_clips_own
from openclip_api.errors import UnknownModel

from ..support.torch_files import archive, mapping, number, state_dict, tensor

FOUR = np.arange(4, dtype=np.float32)
STORED = {"0": FOUR.tobytes()}
OPEN_CLIPS, HFS = ["visual.conv1.weight", "token_embedding.weight"], ["vision_model.a", "text_model.b"]
TIMMS, ADAPTERS = ["blocks.0.attn.qkv.weight", "cls_token"], ["base_model.model.visual.a.lora_A.weight"]


def written(names: list[str], name: str) -> bytes:
    if ".safetensors" in name:
        return save(dict.fromkeys(names, FOUR))
    return archive(state_dict({"state_dict": mapping({key: tensor("0", 4) for key in names})}), STORED)


OPTIMIZER = archive(state_dict({"state": mapping({"exp_avg": tensor("0", 4)}), "param_groups": b"]"}), STORED)
EPOCH = archive(state_dict({"epoch": number(3)}))

# The files of a folder with the names of their tensors, the one that is taken first.
CHOICES: dict[str, dict[str, list[str] | bytes]] = {
    "open_clip's before another library's": {"weights.pt": OPEN_CLIPS, "model.safetensors": TIMMS},
    "open_clip's names before transformers'": {"pytorch_model.bin": OPEN_CLIPS, "model.safetensors": HFS},
    "transformers' before none": {"zzz.bin": HFS, "model.safetensors": TIMMS, "aaa.safetensors": ADAPTERS},
    "safetensors before a pickle": {"model.safetensors": OPEN_CLIPS, "pytorch_model.bin": OPEN_CLIPS},
    "a known name before another": {"pytorch_model.bin": OPEN_CLIPS, "a.safetensors": OPEN_CLIPS},
    "beside an optimizer": {"model.pt": OPEN_CLIPS, "adam.pt": OPTIMIZER},
    "beside what is no model": {"last.ckpt": OPEN_CLIPS, "embeddings.pt": ["embeddings"], "state.pt": EPOCH},
    "beside an adapter": {"epoch_3.pt": OPEN_CLIPS, "adapter_model.safetensors": ADAPTERS},
    "numbered files": {
        "model-00001-of-00002.safetensors": OPEN_CLIPS[:1],
        "model-00002-of-00002.safetensors": OPEN_CLIPS[1:],
        "a.safetensors": TIMMS,
    },
    "one file before numbered ones": {
        "model.safetensors": OPEN_CLIPS,
        "part-00001-of-00002.safetensors": OPEN_CLIPS[:1],
        "part-00002-of-00002.safetensors": OPEN_CLIPS[1:],
    },
    "a numbered file that is missing": {"model-00001-of-00002.bin": OPEN_CLIPS, "model-00002-of-00002.bin": EPOCH},
}


@pytest.mark.parametrize("case", CHOICES)
def test_the_first_is_taken(tmp_path: Path, case: str):
    for name, content in CHOICES[case].items():
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else written(content, name))

    assert weights_in(tmp_path).name == next(iter(CHOICES[case]))


def test_in_transformers_layout_its_names_come_first(tmp_path: Path):
    for name, keys in (("model.safetensors", HFS), ("a.safetensors", OPEN_CLIPS)):
        (tmp_path / name).write_bytes(written(keys, name))

    assert weights_in(tmp_path, ("transformers", "open_clip")).name == "model.safetensors"
    assert weights_in(tmp_path).name == "a.safetensors"


def test_several_epochs_have_no_order(tmp_path: Path):
    for name in ("epoch_1.pt", "epoch_2.pt"):
        (tmp_path / name).write_bytes(written(OPEN_CLIPS, name))

    with pytest.raises(UnknownModel, match=r"has several: epoch_1.pt, epoch_2.pt; keep one there"):
        weights_in(tmp_path)


@pytest.mark.parametrize(
    ("name", "keys", "expected"),
    [
        ("model.safetensors", OPEN_CLIPS, True),
        ("model-00001-of-00001.safetensors", OPEN_CLIPS, False),
        ("model.safetensors", [f"model.{key}" for key in OPEN_CLIPS], False),
        ("model.safetensors", [f"module.{key}" for key in OPEN_CLIPS], False),
        ("model.safetensors", HFS, False),
        ("model.bin", OPEN_CLIPS, False),
    ],
)
def test_which_files_open_clip_itself_reads(tmp_path: Path, name: str, keys: list[str], expected: bool):
    """What it does not is written anew for the engine on torch."""
    (tmp_path / name).write_bytes(written(keys, name))

    assert is_open_clips_own(tmp_path / name) == expected
