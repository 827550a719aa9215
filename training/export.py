"""The model's configuration, and the folder open_clip loads it from.

python training/export.py                     the run's latest weights → the package
"""

import argparse
import json
import os
from functools import cache
from pathlib import Path

import torch
import torch.nn.functional as F
from open_clip.model import CLIP
from paths import BUILTIN, RUNS, START
from safetensors.torch import save_file
from tokenizers import Tokenizer
from torch import Tensor

MODEL = {
    "embed_dim": 256,
    "vision_cfg": {"layers": [2, 3, 4, 2], "width": 32, "head_width": 64},
    "text_cfg": {
        "context_length": 32,
        "vocab_size": 4096,
        "hf_tokenizer_name": "emoji",
        "width": 256,
        "heads": 4,
        "layers": 4,
    },
}

PREPROCESS = {
    "mode": "RGB",
    "mean": [0.5, 0.5, 0.5],
    "std": [0.5, 0.5, 0.5],
    "interpolation": "bicubic",
    "resize_mode": "squash",
}


@cache
def read_tokenizer() -> Tokenizer:
    tokenizer = Tokenizer.from_file(str(START / "tokenizer.json"))
    tokenizer.enable_truncation(MODEL["text_cfg"]["context_length"])
    tokenizer.enable_padding()
    return tokenizer


def text_ids(tokenizer: Tokenizer, texts: list[str]) -> Tensor:
    """Ids padded to the longest text only: in a causal tower what follows the end token changes nothing."""
    return torch.tensor([encoding.ids for encoding in tokenizer.encode_batch(list(texts))])


def encode_text(model: CLIP, ids: Tensor) -> Tensor:
    """open_clip's CLIP.encode_text for ids shorter than the context: the same numbers, without the padding's work."""
    length = ids.shape[1]
    x = model.token_embedding(ids) + model.positional_embedding[:length]
    x = model.ln_final(model.transformer(x, attn_mask=model.attn_mask[:length, :length]))
    return F.normalize(x[torch.arange(len(x)), ids.argmax(1)] @ model.text_projection, dim=-1)


def half(tensor: Tensor) -> Tensor:
    return tensor.half() if tensor.is_floating_point() else tensor


def export(weights: dict[str, Tensor], size: int, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    state = {name: half(tensor).contiguous() for name, tensor in weights.items()}
    save_file(state, folder / "weights.partial", metadata={"format": "pt"})
    vision = {**MODEL["vision_cfg"], "image_size": size}
    config = {"model_cfg": {**MODEL, "vision_cfg": vision}, "preprocess_cfg": {"size": size, **PREPROCESS}}
    write(folder / "open_clip_config.json", json.dumps(config, indent=2) + "\n")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        write(folder / name, (START / name).read_text())
    (folder / "weights.partial").chmod(0o644)
    os.replace(folder / "weights.partial", folder / "open_clip_model.safetensors")


def write(path: Path, text: str) -> None:
    path.with_suffix(".partial").write_text(text)
    os.replace(path.with_suffix(".partial"), path)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--run", type=Path, default=RUNS / "emoji", help="the run's folder")
    parser.add_argument("--folder", type=Path, default=BUILTIN)
    options = parser.parse_args()
    saved = torch.load(options.run / "checkpoint.pt", map_location="cpu")
    export(saved["average"], saved["size"], options.folder)
    print(f"weights of stage {saved['stage']} step {saved['step']} → {options.folder}")
