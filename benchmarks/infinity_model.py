"""ViT-B-32 with random weights as Hugging Face's CLIP saves it, for Infinity.

python infinity_model.py FOLDER
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from clip_vocabulary import merges, vocabulary
from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPProcessor, CLIPTokenizer


def save_tokenizer(folder: Path) -> CLIPTokenizer:
    """CLIP's own vocabulary, in the two files that transformers reads."""
    (folder / "vocab.json").write_text(json.dumps(vocabulary()))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges()) + "\n")
    return CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"))


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    CLIPModel(CLIPConfig()).save_pretrained(folder)  # the defaults are ViT-B-32's
    CLIPProcessor(CLIPImageProcessor(), save_tokenizer(folder)).save_pretrained(folder)
