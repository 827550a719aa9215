"""Any architecture of open_clip at its full size with random weights, as an OpenCLIP folder.

open_clip gives the names and shapes of the tensors without computing any: it builds the model on torch's meta device.

.venv-parity/bin/python benchmarks/random_model.py NAME FOLDER
"""

from __future__ import annotations

import copy
import json
import math
import sys
import zlib
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import tokenizers
import transformers
from captions import WORDS
from numpy.typing import NDArray
from safetensors.numpy import save_file

from openclip_api.checkpoints import registry
from openclip_api.models.hf import encoder_config

Shapes = dict[str, tuple[int, ...]]

# Random numbers, repeated, from another one on for each tensor. No product of widths is a multiple of this prime: where
# two layers' weights were the same, OpenVINO would compute but one of them.
BLOCK = 1_000_003


def shapes(model_cfg: dict[str, Any], folder: Path) -> Shapes:
    """The floating-point tensors of a checkpoint, by key."""
    config = copy.deepcopy(model_cfg)
    encoder = config["text_cfg"].get("hf_model_name")
    if encoder:  # the hub has its config.json, the server the same facts
        facts = transformers.XLMRobertaConfig(**asdict(encoder_config(encoder)))
        facts.save_pretrained(folder / "encoder")
        config["text_cfg"]["hf_model_name"] = str(folder / "encoder")
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": {}}))
    model = open_clip.create_model(f"local-dir:{folder}", load_weights=False, pretrained_text=False, device="meta")
    tensors = model.state_dict().items()
    return {key: tuple(tensor.shape) for key, tensor in tensors if tensor.is_floating_point()}


def tensor(key: str, shape: tuple[int, ...], block: NDArray[np.float32]) -> NDArray[np.float32]:
    """Of a size that keeps activations at about one."""
    if key in ("logit_scale", "logit_bias"):
        return np.full(shape, math.log(100) if key == "logit_scale" else -10, np.float32)
    inputs = 100 if len(shape) == 1 or key.endswith("gamma") else math.prod(shape[1:])
    values = np.resize(np.roll(block, zlib.crc32(key.encode())), shape) * np.float32(inputs**-0.5)
    if key.endswith("running_var"):
        return 4 + np.abs(values)  # branches that are added up do not let what flows grow from block to block
    is_norm = len(shape) == 1 and key.endswith("weight")
    return 1 + np.abs(values) if is_norm else values


def write_random_model(name: str, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    config = dict(registry.architecture(name).as_written)
    block = np.random.default_rng(0).standard_normal(BLOCK, np.float32)
    tensors = {key: tensor(key, shape, block) for key, shape in shapes(config, folder).items()}
    save_file(tensors, folder / "open_clip_model.safetensors")
    if config["text_cfg"].get("hf_tokenizer_name"):
        write_word_tokenizer(folder)
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": {}}))


def write_word_tokenizer(folder: Path) -> None:
    """In place of the hub's: a token for each word of our captions, as large vocabularies have one for common words."""
    words = ["<s>", "<pad>", "</s>", "<unk>", *sorted(set(WORDS.replace("|", " ").split()))]
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel({word: i for i, word in enumerate(words)}, "<unk>"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = tokenizers.processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps({"pad_token": "<pad>", "sep_token": "</s>"}))


if __name__ == "__main__":
    write_random_model(sys.argv[1], Path(sys.argv[2]))
