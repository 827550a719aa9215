"""Tokenizers that make a text longer: what fills the context is read, and no more."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer, models, normalizers

from openclip_api.inputs.tokenizer import FileTokenizer
from parity.texts import long_texts

CONTEXT = 77
LETTERS = dict.fromkeys("abcdefghijklmnopqrstuvwxyz \u0635\u0644\u0649\u0627\u0647\u0639\u064a\u0648\u0633\u0645")
NORMALIZERS = {
    "NFKC": normalizers.NFKC,
    "NFKD": normalizers.NFKD,
    "lower case": normalizers.Lowercase,
    "a thousand for one": lambda: normalizers.Replace("a", "b" * 1000),
    "ten for one, four times": lambda: normalizers.Sequence([normalizers.Replace("a", "a" * 10)] * 4),
}
MODELS: dict[str, Callable[[], object]] = {
    "unigrams": lambda: models.Unigram([("?", -10.0), *((letter, -3.0) for letter in LETTERS)], 0, False),
    "pairs": lambda: models.BPE({letter: index for index, letter in enumerate(LETTERS)}, []),
}


def made(folder: Path, normalizer: str, model: str, side: str = "right") -> FileTokenizer:
    tokenizer = Tokenizer(MODELS[model]())
    tokenizer.normalizer = NORMALIZERS[normalizer]()
    tokenizer.add_special_tokens(["<pad>", "</s>"])
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(f'{{"truncation_side": "{side}"}}')
    return FileTokenizer(folder, CONTEXT, str, False, None, True)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("normalizer", NORMALIZERS)
def test_no_text_is_slow(tmp_path: Path, normalizer: str, model: str):
    """Without a bound behind the normaliser the worst takes minutes."""
    tokenize = made(tmp_path, normalizer, model)
    for unit in ("\ufdfa", "a", "a ", "\u3392", "\u0130", "\u0390", "\U0001d160", "\ufb03 "):
        started = time.thread_time()
        tokenize((unit * 100_000)[:100_000])
        assert time.thread_time() - started < 0.6, ascii(unit)


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("normalizer", NORMALIZERS)
def test_ids_are_those_of_the_whole_text(tmp_path: Path, normalizer: str, side: str):
    tokenize = made(tmp_path, normalizer, "unigrams", side)
    rng = random.Random(0)
    words = ["a", "cat", "\ufdfa", "fly", "\ufb03", "\u0130", "\u3392", "zoo", "\U0001d160"]
    texts = [" ".join(rng.choices(words, k=rng.randrange(1, 400))) for _ in range(20)]
    for text in [*texts, *long_texts(2, seed=4)]:
        found, expected = tokenize(text), tokenize._encode(text)
        np.testing.assert_array_equal(found.ids, expected.ids, ascii(text)[:200])
        assert (found.count, found.truncated) == (expected.count, expected.truncated)
