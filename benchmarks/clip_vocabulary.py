"""CLIP's own vocabulary, for tokenizers that others build."""

from __future__ import annotations

import gzip
from pathlib import Path

MERGES = Path(__file__).parents[1] / "src" / "openclip_api" / "inputs" / "bpe_merges.txt.gz"


def merges() -> list[str]:
    return gzip.decompress(MERGES.read_bytes()).decode().splitlines()


def vocabulary() -> dict[str, int]:
    """Token → id, in open_clip's order: bytes, bytes that end a word, merges, the two special tokens."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    symbols = [*map(chr, printable), *(chr(256 + i) for i in range(256 - len(printable)))]
    words = [*symbols, *(f"{symbol}</w>" for symbol in symbols), *("".join(merge.split()) for merge in merges())]
    return {word: index for index, word in enumerate([*words, "<|startoftext|>", "<|endoftext|>"])}
