"""Cleaning costs little for any text, and gives what open_clip's cleaning gives, which has no bounds."""

from __future__ import annotations

import html
import random
import string
import time
import unicodedata
from collections.abc import Callable
from functools import lru_cache

import ftfy
import numpy as np
import pytest

from openclip_api.checkpoints.config import TokenizerConfig
from openclip_api.inputs.text_cleaning import cleaner
from openclip_api.inputs.tokenizer import FileTokenizer, build_tokenizer
from parity.texts import NASTY, long_texts, random_texts

from ..golden import MODELS, TEXTS

CLEANS = ["lower", "whitespace", "canonicalize"]
KINDS = [None, "clipa", "siglip", "roberta", "nllb", "worldwide"]  # CLIP's own, and the golden models' with files
MOSTLY_SLOW = [None, *(pytest.param(kind, marks=pytest.mark.slow) for kind in KINDS[1:])]


def open_clip_s(name: str) -> Callable[[str], str]:
    """open_clip/tokenizer.py, get_clean_fn"""

    def basic(text: str) -> str:
        return html.unescape(html.unescape(ftfy.fix_text(text))).strip()

    def canonicalized(text: str) -> str:
        text = basic(text).replace("_", " ").translate(str.maketrans("", "", string.punctuation))
        return " ".join(text.lower().split())

    functions = {
        "lower": lambda text: " ".join(basic(text).split()).lower(),
        "whitespace": lambda text: " ".join(basic(text).split()),
        "canonicalize": canonicalized,
    }
    return functions[name]


@lru_cache
def tokenizers(kind: str | None, clean: str, context_length: int = 64):
    """Ours, and the same without bounds."""
    config = TokenizerConfig(context_length, None if kind is None else "org/words", clean)
    folder = None if kind is None else MODELS[kind]
    ours = build_tokenizer(config, folder)
    return ours, lambda text: ours._encode(open_clip_s(clean)(text))


def assert_same(kind: str | None, clean: str, texts: list[str]) -> None:
    ours, unbounded = tokenizers(kind, clean)
    for text in texts:
        found, expected = ours(text), unbounded(text)
        np.testing.assert_array_equal(found.ids, expected.ids, ascii(text)[:200])
        assert (found.count, found.truncated) == (expected.count, expected.truncated), ascii(text)[:200]


@pytest.mark.parametrize("clean", CLEANS)
def test_cleaned_as_open_clip_cleans(clean: str):
    ours, theirs = cleaner(clean), open_clip_s(clean)
    for text in [*TEXTS["tokenizer"], *NASTY, *random_texts(3000, seed=1)]:
        assert ours(text) == theirs(text), ascii(text)


@pytest.mark.parametrize("kind", MOSTLY_SLOW)
def test_long_texts_have_the_ids_that_they_have_without_bounds(kind: str | None):
    assert_same(kind, "canonicalize" if kind == "siglip" else "lower", list(long_texts(24, seed=2)))


@pytest.mark.parametrize("blank", [" ", "\n", "\r\n", "\t", "\u3000", "\u2028", " \n", "\x85", "\xa0", "\x1c"])
@pytest.mark.parametrize("count", [1, 3, 8, 9, 12, 13, 5000])
def test_blanks_of_any_number(blank: str, count: int):
    run = blank * count
    texts = [
        run,
        f"{run}a cat",
        f"a{run}cat{run}",
        f"a \u00c3{run}\u00a9 cr\u00c3\u00a8me{run}<b>{run}&amp;amp;amp;lt;",
    ]
    assert_same(None, "lower", texts)


@pytest.mark.parametrize("side", ["right", "left"])
def test_blanks_alone_do_not_cut_a_text(side: str):
    tokens = tokenizers(None, "lower")[0]("a" + " " * 100_000 + "\n" * 100_000 + "cat")
    assert (tokens.count, tokens.truncated) == (4, False)


def test_what_fills_no_context_is_cut_and_says_so():
    assert tokenizers(None, "canonicalize")[0]("a cat" + "." * 100_000 + "a dog").truncated
    assert tokenizers(None, "lower")[0]("\0\n" * 50_000 + "a dog").truncated


def test_a_tokenizer_that_keeps_the_end_reads_the_end(tmp_path):
    for path in MODELS["clipa"].glob("tokenizer*"):
        (tmp_path / path.name).write_text(path.read_text())
    (tmp_path / "tokenizer_config.json").write_text('{"truncation_side": "left", "pad_token": "[PAD]"}')
    ours = FileTokenizer(tmp_path, 32, cleaner("lower"), False)
    for text in long_texts(10, seed=3):
        np.testing.assert_array_equal(ours(text).ids, ours._encode(cleaner("lower")(text)).ids)


MARKS = ["\u0301", "\u0327", "\u0334", "\u0345", "\u0344", "\u0f71", "\u0f73", "\u0f75", "\u3099", "\u05b0", "\u093c"]


def test_runs_of_marks_are_normalised_as_ever():
    generator = random.Random(4)
    clean = cleaner("whitespace")
    for length in (29, 30, 31, 32, 33, 100, 500):
        for _ in range(20):
            marks = "".join(generator.choices(MARKS, k=length))
            for text in (marks, f"e{marks}x", f"\u1ebf{marks}\u4e2d{marks}", f"{marks}\u0f40{marks}"):
                assert clean(text) == unicodedata.normalize("NFC", text)


N = 100_000
SLOW = {
    "marks of falling class": "".join(sorted("\u0334\u0327\u0301\u0345" * (N // 4), key=unicodedata.combining))[::-1],
    "marks in turn": "\u0301\u0327" * (N // 2),
    "marks in pairs": "\u0f73" * N,
    "marks by width": "\u0301\uff9e" * (N // 2),
    "marks by entity": "&#769;&#807;" * (N // 12),
    "newlines": "\n" * N,
    "lines of nothing": "\0\n" * (N // 2),
    "lines of blanks": " \n\t\n" * (N // 4),
    "nested entities": "&" + "amp;" * (N // 4),
    "nested numbers": "&" + "#38;" * (N // 4),
    "nested wide ones": "&" + "#65286;" * (N // 7),
    "nested mojibake": "\u00c3\u0192\u00c6\u2019\u00c3\u2020" * (N // 6),
    "an entity of digits": "&#" + "9" * N,
    "an entity of zeros": "&#" + "0" * N + "65;",
    "entities of digits": ("&#" + "9" * 4301) * (N // 4303),
    "ampersands": "&" * N,
    "one word": "x" * N,
    "one word of two": "ab" * (N // 2),
    "punctuation": "!" * N,
    "emoji": "\U0001f600" * N,
    "C1": "\x9d" * N,
    "mojibake": "\u00c3\u00a0\u00e9" * (N // 3),
    "mojibake in pieces": "\u0c16\xc2\x9d" * (N // 3),
    "presentation forms": "\ufb1d" * N,
    "a ligature that becomes eighteen": "\ufdfa" * N,
    "Hangul in parts": "\u1100\u1161" * (N // 2),
    "sigmas": "\u03a3\u0345" * (N // 2),
    "escapes": "\x1b[" * (N // 2),
    "an escape of digits": "\x1b[" + "1;" * (N // 2),
    "brackets": "<" * N,
    "joined": "\U0001f468\u200d" * (N // 2),
}


@pytest.mark.parametrize("kind", MOSTLY_SLOW)
@pytest.mark.parametrize("name", SLOW)
def test_no_text_is_slow(kind: str | None, name: str):
    """Without bounds some take half a minute. Here the worst takes 0.2 s."""
    tokenize = tokenizers(kind, "lower", 77)[0]
    started = time.thread_time()
    tokenize(SLOW[name])
    assert time.thread_time() - started < 1


@pytest.mark.parametrize("digits", [1, 7, 8, 9, 4300, 4301, 100_000])
@pytest.mark.parametrize("start", ["&#9", "&#0", "&amp;#9", "&#x9", "&#1", "&amp;amp;#0"])
def test_entities_of_any_number_of_digits(start: str, digits: int):
    clean = cleaner("lower")
    text = f"a {start}{start[-1] * (digits - 1)}; b"
    if digits <= 4300:
        assert clean(text) == open_clip_s("lower")(text)
    assert clean(text)[0] == "a"
    assert clean(f"&#{'0' * digits}65;") == "a"
