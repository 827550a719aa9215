"""A tokenizer's files → the tokenizer, whether it is all in tokenizer.json or in the older forms of CLIP and BERT.

Source: transformers/models/clip/tokenization_clip.py, CLIPTokenizer; bert/tokenization_bert.py, BertTokenizer (5.24.0).
"""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import tokenizers
from tokenizers import AddedToken, Regex, decoders, models, normalizers, pre_tokenizers, processors

from ..checkpoints.config import read_json
from ..checkpoints.transformers_layout.texts import SETTINGS, tokenizer_form
from ..errors import CorruptCheckpoint

START, END = "<|startoftext|>", "<|endoftext|>"
UNKNOWN = "[UNK]"
WORD = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
BERTS_SPECIALS = (UNKNOWN, "[SEP]", "[PAD]", "[CLS]", "[MASK]")


def read_vocabulary(folder: Path) -> tokenizers.Tokenizer:
    """Raises UnknownModel, UnsupportedModel, CorruptCheckpoint, and what the library raises for a damaged file."""
    form = tokenizer_form(folder)
    settings = read_json(folder / SETTINGS) if (folder / SETTINGS).is_file() else {}
    settings = settings if isinstance(settings, dict) else {}
    if form == ("tokenizer.json",):
        tokenizer = tokenizers.Tokenizer.from_file(str(folder / form[0]))
        if isinstance(tokenizer.normalizer, normalizers.BertNormalizer):  # BertTokenizer obeys its config in this
            tokenizer.normalizer = _bert_normalizer(settings, tokenizer.normalizer)
        return tokenizer
    tokenizer = _bert(folder, settings) if form == ("vocab.txt",) else _clip(folder)
    _add_tokens(folder, tokenizer)
    return tokenizer


def _clip(folder: Path) -> tokenizers.Tokenizer:
    """Unicode's NFC, any run of blanks a space, lower case; then a byte-level BPE whose words end in </w>."""
    bpe = models.BPE.from_file(
        str(folder / "vocab.json"),
        str(folder / "merges.txt"),
        continuing_subword_prefix="",
        end_of_word_suffix="</w>",
        fuse_unk=False,
        unk_token=END,
    )
    tokenizer = tokenizers.Tokenizer(bpe)
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    split = pre_tokenizers.Split(Regex(WORD), behavior="removed", invert=True)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(add_prefix_space=False)])
    tokenizer.decoder = decoders.ByteLevel()
    start, end = (_id(folder / "vocab.json", tokenizer, token) for token in (START, END))
    tokenizer.post_processor = processors.RobertaProcessing((END, end), (START, start), False, False)
    tokenizer.add_special_tokens([START, END])
    return tokenizer


def _bert_normalizer(settings: Mapping[str, Any], usual: normalizers.BertNormalizer) -> normalizers.BertNormalizer:
    """`usual`, but for what the tokenizer's config says."""
    found = {
        "handle_chinese_chars": settings.get("tokenize_chinese_chars"),
        "lowercase": settings.get("do_lower_case"),
        "strip_accents": settings.get("strip_accents"),
    }
    known = {name: getattr(usual, name) for name in ("clean_text", *found)}
    return normalizers.BertNormalizer(**known | {key: value for key, value in found.items() if isinstance(value, bool)})


def _bert(folder: Path, settings: Mapping[str, Any]) -> tokenizers.Tokenizer:
    path = folder / "vocab.txt"
    tokenizer = tokenizers.Tokenizer(models.WordPiece.from_file(str(path), unk_token=UNKNOWN))
    tokenizer.normalizer = _bert_normalizer(settings, normalizers.BertNormalizer())
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece(prefix="##")
    start, end = (_id(path, tokenizer, token) for token in ("[CLS]", "[SEP]"))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", start), ("[SEP]", end)]
    )
    tokenizer.add_special_tokens([token for token in BERTS_SPECIALS if tokenizer.token_to_id(token) is not None])
    return tokenizer


def _add_tokens(folder: Path, tokenizer: tokenizers.Tokenizer) -> None:
    """added_tokens.json: tokens behind the vocabulary, by id."""
    path = folder / "added_tokens.json"
    added = read_json(path) if path.is_file() else {}
    if not isinstance(added, dict) or not all(type(index) is int for index in added.values()):
        raise CorruptCheckpoint(f"{path}: expected tokens with their ids")
    for token, index in sorted(added.items(), key=lambda entry: entry[1]):
        tokenizer.add_tokens([AddedToken(token, normalized=False)])
        if tokenizer.token_to_id(token) != index:
            raise CorruptCheckpoint(f"{path}: the ids do not follow the vocabulary's one by one")


def _id(path: Path, tokenizer: tokenizers.Tokenizer, token: str) -> int:
    index = tokenizer.token_to_id(token)
    if index is None:
        raise CorruptCheckpoint(f"{path} has no token {token}")
    return int(index)


def clip_bpe() -> tuple[tokenizers.Tokenizer, int, int]:
    """The merges as a byte-level BPE, and the ids of start-of-text and end-of-text.

    Ids are given in this order: 256 byte symbols, the same at a word's end, the merges, the two special tokens.
    """
    packed = resources.files(__package__).joinpath("bpe_merges.txt.gz").read_bytes()
    merges = [(left, right) for left, right in map(str.split, gzip.decompress(packed).decode().splitlines())]
    symbols = _byte_symbols()
    names = [*symbols, *(f"{symbol}</w>" for symbol in symbols), *("".join(merge) for merge in merges)]
    vocabulary = {name: index for index, name in enumerate(names)}
    bpe = tokenizers.Tokenizer(models.BPE(vocab=vocabulary, merges=merges, end_of_word_suffix="</w>"))
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    bpe.decoder = decoders.ByteLevel()
    return bpe, len(names), len(names) + 1


def _byte_symbols() -> list[str]:
    """A printable character for each byte, as in GPT-2: printable Latin-1 first, then U+0100 and the following."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in printable]
    return [chr(byte) for byte in printable] + [chr(256 + i) for i in range(len(others))]
