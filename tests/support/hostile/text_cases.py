"""Texts that cleaning or tokenising may find dear, and templates that grow when labels are put into them."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable
from dataclasses import replace

from ..cost import Request
from .json_bodies import PICTURE
from .request import Case, entries, field, form, post_json

LONGEST = 100_000  # characters of one text that are read at all
MOST = 256  # texts of one request, which the bound on processor time has room to compute
LARGEST = (
    2048  # as many as one may have: of what cleaning leaves little of, since each text that is computed costs more
)

FALLING = sorted(  # combining marks, each of a lower combining class than the one before
    {unicodedata.combining(chr(code)): chr(code) for code in range(0x300, 0x370)}.values(),
    key=unicodedata.combining,
    reverse=True,
)


def repeated(unit: str) -> Callable[[int], str]:
    return lambda n: (unit * (n // len(unit) + 1))[:n]


# A text of n characters. What is dear in it must not begin late: only the start of a text is read.
WRITINGS: dict[str, Callable[[int], str]] = {
    "combining marks in falling class": lambda n: "a" + "".join(mark * ((n - 1) // len(FALLING)) for mark in FALLING),
    "combining marks in falling class, again and again": repeated("a" + "".join(FALLING)),
    "combining marks, falling once": lambda n: "a" + "\u0301" * (n // 2) + "\u0316" * (n // 2 - 1),
    "combining marks of one class": repeated("\u0301"),
    "combining marks on a long word": lambda n: "a" * (n // 2) + "\u0301\u0316" * (n // 4),
    "Hangul jamo": repeated("\u1100\u1161\u11a8"),
    "Devanagari vowel signs": repeated("\u0915\u093c\u094d"),
    "newlines": repeated("\n"),
    "carriage returns": repeated("\r"),
    "both": repeated("\r\n"),
    "spaces": repeated(" "),
    "thin spaces": repeated("\u2009"),
    "tabs between letters": repeated("a\t"),
    "one long word": repeated("a"),
    "one long word of many letters": repeated("abcdefghijklmnopqrstuvwxyz"),
    "one long word, not ASCII": repeated("äöü"),
    "punctuation": repeated("!"),
    "punctuation of many kinds": repeated("!?.,;:-_#+*~^°"),
    "apostrophes": repeated("'s"),
    "single apostrophes": repeated("'"),
    "curly quotes": repeated("\u2018\u2019\u201c\u201d"),
    "underscores": repeated("_"),
    "digits": repeated("1234567890"),
    "CJK": repeated("漢字假名"),
    "half-width kana": repeated("ｶﾞ"),
    "right-to-left marks": repeated("\u202e\u200f"),
    "Arabic ligatures": repeated("\ufdfa"),
    "ligatures": repeated("ﬁﬂ"),
    "emoji joined": repeated("👨\u200d"),
    "flags": repeated("🇦"),
    "variation selectors": repeated("\ufe0f"),
    "tags": repeated("\U000e0061"),
    "NUL": repeated("\0"),
    "control characters": repeated("\x01\x7f\x85"),
    "terminal escapes": repeated("\x1b[0m"),
    "a terminal escape without an end": lambda n: "\x1b[" + repeated("0;")(n - 2),
    "byte order marks": repeated("\ufeff"),
    "replacement characters": repeated("\ufffd"),
    "private use": repeated("\U0010fffd"),
    "capitals that grow": repeated("İẞ"),
    "characters that grow": repeated("\u0390\u0149\ufb03\u3392\U0001d160"),
    "HTML entities": repeated("&amp;"),
    "HTML entities in each other": lambda n: "&" + repeated("amp;")(n - 1),
    "HTML entities without an end": repeated("&amp"),
    "an HTML number": lambda n: "&#" + "9" * (n - 2),
    "HTML numbers": repeated("&#" + "9" * 4301 + ";"),
    "short HTML numbers": repeated("&#9"),
    "ampersands": repeated("&"),
    "angle brackets": repeated("<a>"),
    "start of text": repeated("<start_of_text>"),
    "end of text": repeated("<|endoftext|>"),
    "half a special token": repeated("<start_of_"),
    "mojibake": repeated("Ã©"),
    "mojibake of quotes": repeated("â€™"),
    "mojibake of emoji": repeated("ðŸ˜€"),
    "mojibake of mojibake": repeated("ÃƒÂ©"),
    "mojibake cut": repeated("â€"),
    "mojibake on long lines": lambda n: repeated("Ã© ")(n),
    "Latin-1 high bytes": repeated("\x80\x81\xa0\xff"),
    "one character a line": repeated("é\n"),
}


def several(writing: Callable[[int], str], size: int) -> list[str]:
    """Texts of about `size` bytes in all, none like another; the first is as long as a text may be."""
    texts: list[str] = []
    left = size
    while left > 0 and len(texts) < MOST:
        start = f"{len(texts)}-{size} "
        sample = writing(1000)
        per_character = len(json.dumps(sample, ensure_ascii=False).encode()) / len(sample)
        length = min(LONGEST - len(start), max(10, int(left / per_character)))
        texts.append(start + writing(length))
        left -= int(length * per_character)
    return texts


def _text_case(name: str, route: str, make: Callable[[list[str]], Request]) -> Case:
    return Case(f"{route}: {name}", lambda size: make(several(WRITINGS[name], size)))


def by_form(texts: list[str]) -> Request:
    return form(entries("textual"), field(b"text", texts[0].encode()))


FULL = "a " * 100  # tokens: more than a text can have


def many_short(name: str, count: int = MOST, left: str = FULL) -> Case:
    """Texts that are each of an equal part of the size. left: at least as much as cleaning leaves of one."""
    plain = post_json("/embeddings", {"text": [f"{i} {left}" for i in range(count)]})

    def make(size: int) -> Request:
        writing = WRITINGS[name]
        texts = [f"{i} " + writing(max(1, size // count // 3)) for i in range(count)]
        return replace(post_json("/embeddings", {"text": texts}), plain=plain)

    return Case(f"/embeddings, {count} texts: {name}", make)


MANY_SHORT = ["newlines", "combining marks in falling class", "emoji joined"]
SHORT_TEXTS = [
    *(_text_case(name, "/embeddings", lambda texts: post_json("/embeddings", {"text": texts})) for name in WRITINGS),
    *map(many_short, MANY_SHORT),
    many_short("newlines", LARGEST, left=""),
]
TEXTS = [
    *SHORT_TEXTS,
    *(_text_case(name, "/predict", by_form) for name in WRITINGS),
    *(many_short(name) for name in WRITINGS if name not in MANY_SHORT),
]


def classify(labels: list[str], templates: list[str]) -> Request:
    return post_json("/classify", {"image": PICTURE.decode(), "labels": labels, "templates": templates})


TEMPLATES = [
    Case(
        "a template of many {} and a long label",
        lambda size: classify(["a" * min(size // 2, LONGEST)], ["{}" * (size // 4)]),
    ),
    Case(
        "templates of a few {} and a long label",
        lambda size: classify(["a" * min(size // 2, LONGEST)], [f"{i} {{}} {{}} {{}}" for i in range(size // 28 + 1)]),
    ),
    Case(
        "many labels and many templates",
        lambda size: classify([f"{i}" for i in range(size // 20)], [f"{i} {{}}" for i in range(size // 24)]),
    ),
    Case(
        "sixteen long labels and sixteen templates of many {}",
        lambda size: classify(
            [f"{i}" + "a" * (size // 32) for i in range(16)], [f"{i}" + "{}" * (size // 64) for i in range(16)]
        ),
    ),
    Case("a template of braces", lambda size: classify(["a"], ["{" * (size // 2) + "}" * (size // 2)])),
]
