"""Strings → token ids, exactly as open_clip's tokenizers make them.

Source: open_clip/tokenizer.py, SimpleTokenizer and HFTokenizer (3.3.0).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import regex
import tokenizers
from numpy.typing import NDArray
from tokenizers import processors

from ..checkpoints.config import TokenizerConfig, read_json
from ..checkpoints.damage import refusing
from ..errors import CorruptCheckpoint, InvalidInput, UnsupportedModel, shown
from .languages import FLORES
from .text_cleaning import Clean, cleaner, fitted, parts_of, shorten_blanks
from .vocabularies import clip_bpe, read_vocabulary


@dataclass(frozen=True, slots=True)
class Tokens:
    """One text's token ids."""

    ids: NDArray[np.int32]  # [context_length]
    count: int  # how many of the ids are no padding, special tokens included
    truncated: bool  # the text was longer than the context


class Tokenizer(Protocol):
    context_length: int
    languages: Sequence[str]  # of FLORES-200; empty for a model that reads all languages alike

    def __call__(self, text: str, language: str | None = None) -> Tokens:
        """The text's ids, cut or padded to context_length. language: one of `languages`, None for the model's own."""


def build_tokenizer(config: TokenizerConfig, folder: Path | None, vocab_size: int | None = None) -> Tokenizer:
    """The tokenizer that open_clip would choose: open_clip/factory.py, get_tokenizer.

    folder: where tokenizer.json lies, for a model that names a tokenizer of its own.
    vocab_size: how many ids the text tower has a vector for; None if that is not known.
    Raises UnsupportedModel, CorruptCheckpoint.
    """
    clean = cleaner(config.clean)
    if folder is not None:
        with refusing(str(folder)):
            return FileTokenizer(
                folder, config.context_length, clean, config.strip_sep_token, vocab_size, config.clean == "none"
            )
    tokenizer = ClipTokenizer(config.context_length, clean)
    if vocab_size is not None and vocab_size < ClipTokenizer.VOCAB_SIZE:
        raise CorruptCheckpoint(
            f"text_cfg.vocab_size {vocab_size}: CLIP's own tokenizer, which this model takes, has ids up to "
            f"{ClipTokenizer.VOCAB_SIZE - 1}"
        )
    return tokenizer


def _read_in_parts(
    text: str,
    context_length: int,
    clean: Clean,
    encode: Callable[[str], Tokens],
    *,
    normalize: Clean | None = None,
    from_end: bool = False,
    by_lines: bool = True,
) -> Tokens:
    """The tokens of a text's beginning, or end, from as little of it as fills the context.

    normalize: what `encode` does first, if it may make a text longer.
    """
    for part, most in parts_of(text, context_length, from_end, by_lines):
        cleaned = clean(part)
        read = fitted(cleaned, most, from_end, normalize)
        tokens = encode(read)
        is_whole = len(part) == len(text) and len(read) == len(cleaned)
        if tokens.truncated or is_whole:
            break
    return replace(tokens, truncated=tokens.truncated or not is_whole)


class ClipTokenizer:
    """CLIP's byte-pair encoding. The ids are start-of-text, the text's tokens, end-of-text, then zeros."""

    VOCAB_SIZE = 49408
    languages: Sequence[str] = ()
    START, END = "<start_of_text>", "<end_of_text>"
    WORD = regex.compile(
        rf"{START}|{END}|'s|'t|'re|'ve|'m|'ll|'d|[\p{{L}}]+|[\p{{N}}]|[^\s\p{{L}}\p{{N}}]+", regex.IGNORECASE
    )

    def __init__(self, context_length: int, clean: Clean) -> None:
        self.context_length = context_length
        self._clean = clean
        self._bpe, self._start, self._end = clip_bpe()
        self._ids_of_common_word = lru_cache(maxsize=1 << 15)(self._ids_of_word)

    def __call__(self, text: str, language: str | None = None) -> Tokens:
        return _read_in_parts(shorten_blanks(text), self.context_length, self._clean, self._encode)

    def _encode(self, cleaned: str) -> Tokens:
        ids = [self._start]
        for match in self.WORD.finditer(cleaned):
            if len(ids) >= self.context_length:
                break  # the rest is cut off
            word = match[0]
            ids += self._ids_of_common_word(word) if len(word) < 64 else self._ids_of_word(word)
        # A text that is too long loses tokens, but keeps its end-of-text.
        truncated = len(ids) >= self.context_length
        ids = [*ids[: self.context_length - 1], self._end]
        padded = np.array(ids + [0] * (self.context_length - len(ids)), np.int32)
        return Tokens(padded, len(ids), truncated)

    def _ids_of_word(self, word: str) -> Sequence[int]:
        # A special token that is written out in a text means itself.
        if word == self.START:
            return [self._start]
        if word == self.END:
            return [self._end]
        ids: list[int] = self._bpe.encode(word, add_special_tokens=False).ids
        return ids


# tokenizer_config.json may leave these out, as bert-base-uncased's does. Then transformers takes its class's own.
SENTINEL = regex.compile(r"<.*>|\[.*\]")
USUAL_TOKENS = {
    "pad_token": ("[PAD]", "<pad>", "<|endoftext|>"),
    "sep_token": ("[SEP]", "</s>"),
    "eos_token": ("</s>",),
}


class FileTokenizer:
    """A tokenizer saved as tokenizer.json, with what open_clip's HFTokenizer does before and after it.

    is_all: it also does what makes a text clean, as in transformers. It may then tell runs of blanks apart.
    """

    def __init__(
        self,
        folder: Path,
        context_length: int,
        clean: Clean,
        strip_sep_token: bool,
        vocab_size: int | None = None,
        is_all: bool = False,
    ) -> None:
        self.context_length = context_length
        self._clean = clean
        self._vocab_size = vocab_size
        path = str(folder / "tokenizer.json")
        with refusing(path):
            self._tokenizer = read_vocabulary(folder)
            self._by_lines = not is_all
            self._shortens = not is_all or _takes_blanks_for_one(self._tokenizer)
            if vocab_size is not None:
                _check_vocabulary(self._tokenizer.get_vocab(with_added_tokens=False), vocab_size)
        config = _checked_config(folder / "tokenizer_config.json")
        self._language_last = bool(config.get("legacy_behaviour"))
        self._languages: dict[str, int] = {}
        if config.get("tokenizer_class") in ("NllbTokenizer", "NllbTokenizerFast"):
            self._tokenizer.post_processor = self._nllb_template(config)
            self._languages = {
                token.content: index
                for index, token in self._tokenizer.get_added_tokens_decoder().items()
                if FLORES.fullmatch(token.content) and index < (vocab_size or 2**31)
            }
        self.languages: Sequence[str] = tuple(self._languages)
        pad = self._special_token("pad_token", config)
        self._pads_left = config.get("padding_side") == "left"
        truncation_side = config.get("truncation_side", "right")
        self._reads_end = truncation_side == "left"
        self._tokenizer.enable_truncation(context_length, direction=truncation_side)
        self._tokenizer.enable_padding(
            length=context_length,
            pad_token=pad,
            pad_id=self._id(pad),
            direction=config.get("padding_side", "right"),
        )
        self._stripped = self._id(self._special_token("sep_token", config)) if strip_sep_token else None
        with refusing(path):  # some of what is wrong with a file shows only with a text
            ids = self._tokenizer.encode("a photo of a cat").ids
            if vocab_size is not None:
                _check_vocabulary({"": max(ids)}, vocab_size)

    def __call__(self, text: str, language: str | None = None) -> Tokens:
        """Raises InvalidInput for a text with a token that the model has no vector for."""
        text = shorten_blanks(text) if self._shortens else text
        tokens = _read_in_parts(
            text,
            self.context_length,
            self._clean,
            self._encode,
            normalize=self._normalize if self._tokenizer.normalizer else None,
            from_end=self._reads_end,
            by_lines=self._by_lines,
        )
        if language is None:
            return tokens
        first = self.context_length - tokens.count if self._pads_left else 0
        tokens.ids[first + tokens.count - 1 if self._language_last else first] = self._languages[language]
        return tokens

    def _normalize(self, text: str) -> str:
        with _readable():
            return str(self._tokenizer.normalizer.normalize_str(text))

    def _encode(self, cleaned: str) -> Tokens:
        with _readable():
            encoding = self._tokenizer.encode(cleaned)
        if len(encoding.ids) != self.context_length or max(encoding.ids) >= (self._vocab_size or 2**31):
            raise InvalidInput("the tokenizer makes tokens of it for which the model has no vector")
        ids = np.array(encoding.ids, np.int32)
        if self._stripped is not None:
            ids[ids == self._stripped] = 0
        return Tokens(ids, sum(encoding.attention_mask), bool(encoding.overflowing))

    def _nllb_template(self, config: Mapping[str, Any]) -> processors.TemplateProcessing:
        """In place of the one in NLLB's file: NllbTokenizer.set_src_lang_special_tokens (transformers 5.23.0)."""
        language = str(_token_name(config.get("src_lang") or "eng_Latn"))
        end = self._special_token("eos_token", config)
        return processors.TemplateProcessing(
            single=["$A", end, language] if config.get("legacy_behaviour") else [language, "$A", end],
            special_tokens=[(token, self._id(token)) for token in (language, end)],
        )

    def _special_token(self, role: str, config: Mapping[str, Any]) -> str:
        if config.get(role):
            return str(_token_name(config[role]))
        for token in USUAL_TOKENS[role]:
            if self._tokenizer.token_to_id(token) is not None:
                return token
        raise UnsupportedModel(f"the tokenizer's config names no {role!r}, and it has none of the usual ones")

    def _id(self, token: str) -> int:
        index = self._tokenizer.token_to_id(token)
        if index is None:
            raise CorruptCheckpoint(f"the tokenizer has no token {shown(token)}, which its config names")
        return int(index)


@contextmanager
def _readable() -> Iterator[None]:
    """Raises InvalidInput for what the library fails at."""
    try:
        yield
    except (MemoryError, KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # it is written in Rust, and its panics are no Exceptions
        raise InvalidInput("the model's tokenizer cannot read it") from error


def _takes_blanks_for_one(tokenizer: tokenizers.Tokenizer) -> bool:
    text = "a" + " \n\t\u3000" * 5 + "b" + " " * 20 + "c"
    return bool(tokenizer.encode(text).ids == tokenizer.encode(shorten_blanks(text)).ids)


def _checked_config(path: Path) -> dict[str, Any]:
    """tokenizer_config.json. Raises CorruptCheckpoint, naming the field."""
    config = read_json(path) if path.is_file() or (path.parent / "tokenizer.json").is_file() else {}
    if not isinstance(config, dict):
        raise CorruptCheckpoint(f"{path} is not a JSON object")
    for key in (*USUAL_TOKENS, "src_lang"):
        if config.get(key) and not isinstance(_token_name(config[key]), str):
            raise CorruptCheckpoint(f"{path}: {key} {shown(config[key])}: expected a token")
    for key in ("truncation_side", "padding_side"):
        if config.get(key, "right") not in ("left", "right"):
            raise CorruptCheckpoint(f"{path}: {key} {shown(config[key])}: expected 'left' or 'right'")
    return config


def _check_vocabulary(ids: Mapping[str, int], vocab_size: int) -> None:
    """Raises CorruptCheckpoint if a text may get an id that the text tower has no vector for.

    T5's vocabularies end with <extra_id_0> and others that stand in no text: SigLIP's tables leave their vectors out.
    If a text does spell one out, it is refused alone.
    """
    beyond = [index for token, index in ids.items() if index >= vocab_size and not SENTINEL.fullmatch(token)]
    if beyond:
        raise CorruptCheckpoint(
            f"the tokenizer has ids up to {max(beyond)}, the text tower vectors for {vocab_size}: it is another model's"
        )


def _token_name(token: Any) -> Any:
    """A special token is a string, or a dictionary with its content."""
    return token.get("content") if isinstance(token, dict) else token
