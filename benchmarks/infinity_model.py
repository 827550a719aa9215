"""ViT-B-32 with random weights as Hugging Face's CLIP saves it, for Infinity.

python infinity_model.py FOLDER
"""

from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path

import torch
from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPProcessor, CLIPTokenizer

MERGES = Path(__file__).parents[1] / "src" / "openclip_api" / "inputs" / "bpe_merges.txt.gz"


def save_tokenizer(folder: Path) -> CLIPTokenizer:
    """CLIP's own vocabulary, in the two files that transformers reads."""
    merges = gzip.decompress(MERGES.read_bytes()).decode().splitlines()
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    symbols = [*map(chr, printable), *(chr(256 + i) for i in range(256 - len(printable)))]
    words = [*symbols, *(f"{symbol}</w>" for symbol in symbols), *("".join(merge.split()) for merge in merges)]
    words += ["<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({word: index for index, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n")
    return CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"))


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    CLIPModel(CLIPConfig()).save_pretrained(folder)  # the defaults are ViT-B-32's
    CLIPProcessor(CLIPImageProcessor(), save_tokenizer(folder)).save_pretrained(folder)
