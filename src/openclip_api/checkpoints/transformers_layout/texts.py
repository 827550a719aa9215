"""The tokenizer's files in transformers' layout: how a text is cleaned, and how many tokens it may have.

Source: transformers/tokenization_utils_base.py, and models/siglip/tokenization_siglip.py (5.24.0).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ...errors import CorruptCheckpoint, UnknownModel, UnsupportedModel, shown
from ..config import Section, as_number, read_json

SETTINGS = "tokenizer_config.json"
# A tokenizer is one of these: all in one file, CLIP's vocabulary and merges, BERT's vocabulary.
FORMS = (("tokenizer.json",), ("vocab.json", "merges.txt"), ("vocab.txt",))
TOKENIZER_FILES = (SETTINGS, "special_tokens_map.json", "added_tokens.json", *(name for form in FORMS for name in form))
SENTENCEPIECE = ("spiece.model", "sentencepiece.bpe.model", "tokenizer.model")


def tokenizer_form(folder: Path) -> tuple[str, ...]:
    """The files that the vocabulary is in. Raises UnsupportedModel, UnknownModel."""
    for form in FORMS:
        if all((folder / name).is_file() for name in form):
            return form
    for name in SENTENCEPIECE:
        if (folder / name).is_file():
            raise UnsupportedModel(
                f"{folder} has its tokenizer only as {name}: save it once more with transformers' "
                "AutoTokenizer.from_pretrained(...).save_pretrained(...), which writes a tokenizer.json"
            )
    raise UnknownModel(f"{folder} has no tokenizer: a tokenizer.json, vocab.json and merges.txt, or a vocab.txt")


def read_tokenizer(folder: Path, kind: str) -> tuple[str, int | None]:
    """kind: model_type. Gives the name of the cleaning (inputs/text_cleaning.py), and the most tokens of a text.

    Raises UnknownModel, UnsupportedModel, CorruptCheckpoint.
    """
    tokenizer_form(folder)
    path = folder / SETTINGS
    settings = read_json(path) if path.is_file() else {}
    if not isinstance(settings, dict):
        raise CorruptCheckpoint(f"{path} is not a JSON object")
    longest = _model_max_length(settings)
    if kind != "siglip":
        if settings.get("padding_side", "right") != "right":
            raise UnsupportedModel(f"{path}: padding_side {shown(settings['padding_side'])}: expected 'right'")
        return "none", longest
    inputs = settings.get("model_input_names", ["input_ids"])
    if inputs != ["input_ids"]:
        raise UnsupportedModel(
            f"{path}: model_input_names {shown(inputs)}: expected ['input_ids'], as SigLIP was trained without a mask"
        )
    if str(settings.get("tokenizer_class", "SiglipTokenizer")).removesuffix("Fast") != "SiglipTokenizer":
        return "none", longest
    return ("siglip" if settings.get("do_lower_case", True) else "siglip_cased"), longest or 64


def _model_max_length(settings: Section) -> int | None:
    """transformers writes 1e30 for a tokenizer that knows of no limit."""
    value: Any = settings.get("model_max_length")
    number = as_number(value)
    if value is not None and (number is None or number < 1):
        raise CorruptCheckpoint(f"{SETTINGS}: model_max_length {shown(value)}: expected a number from 1 on")
    return int(number) if number is not None and number < 1e9 else None
