"""How a text is cleaned before it becomes tokens, exactly as open_clip does it, but at a cost that is bounded.

Source: open_clip/tokenizer.py, get_clean_fn (3.3.0); ftfy/__init__.py, fix_text (6.3.1).

Three of the steps can be made to take a minute for 100 KB of text: Unicode's normalisation sorts combining marks by
insertion, ftfy starts anew as long as a character changes, and begins anew on each line. So only the part of a text
that can fill the context is cleaned, the marks come to it in order, and the rounds are counted.
"""

from __future__ import annotations

import html
import re
import string
import unicodedata
from collections.abc import Callable, Iterator
from functools import partial
from io import StringIO
from itertools import groupby

import ftfy
from ftfy import fixes

from ..errors import UnsupportedModel, shown

Clean = Callable[[str], str]

# A text is read up to the first of these bounds that fills the context. English has some 5 characters for each token;
# the second bound is for those who write many that a model's vocabulary lacks.
CHARACTERS_PER_TOKEN = (64, 256)
LINES_PER_TOKEN = 4
LARGEST_GROWTH = 18  # of a text that becomes NFKC; a tokenizer's own file may have more
PIECE = 32  # characters that are normalised at once, to see what becomes of them
ROUNDS = 10  # one takes one level of &amp;amp;amp; off

# what stays a blank until words are split: ftfy takes \x0b and \x1c to \x1f away, and makes three dots of \x85
_BLANK = r"[ \t\n\f\r\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]"
_BLANKS = re.compile(f"({_BLANK}{{4}})({_BLANK}+)({_BLANK}{{4}})")
_LEADING_ZEROS = re.compile(r"&#0+")
_BEYOND_UNICODE = re.compile(r"&#0?[1-9][0-9]{7,}")
_PERHAPS_MARKS = re.compile(r"[^\x00-\u02ff]{32,}")
_MARKS_IN_PAIRS = "\u0f73\u0f75\u0f81"  # these become two marks each, though they are none by their class
_PUNCTUATION = str.maketrans("_", " ", string.punctuation.replace("_", ""))
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)

# after the encoding, in ftfy's order
_FIXES: tuple[Clean, ...] = (
    fixes.fix_c1_controls,
    fixes.fix_latin_ligatures,
    fixes.fix_character_width,
    fixes.uncurl_quotes,
    fixes.fix_line_breaks,
    fixes.fix_surrogates,
    fixes.remove_terminal_escapes,
    fixes.remove_control_chars,
)


def cleaner(name: str) -> Clean:
    """Raises UnsupportedModel."""
    cleaners: dict[str, Clean] = {
        "lower": _lower,
        "whitespace": _whitespace,
        "canonicalize": _canonicalize,
        "none": str,  # of transformers: what a tokenizer.json does is all
        "siglip": _siglip,
        "siglip_cased": _without_punctuation,
    }
    if name not in cleaners:
        raise UnsupportedModel(f"text_cfg.tokenizer_kwargs.clean {shown(name)}: expected {', '.join(cleaners)}")
    return cleaners[name]


def shorten_blanks(text: str) -> str:
    """Long runs of blanks become short ones, for a tokenizer that takes any run for one."""
    return _BLANKS.sub(lambda run: run[1] + "\n" * ("\n" in run[2]) + run[3], text)


def parts_of(text: str, context_length: int, from_end: bool, by_lines: bool = True) -> Iterator[tuple[str, int]]:
    """As much of a text's beginning, or end, as is likely to fill the context; then, for whom it did not, more of it.
    With each, how many characters it may have, now and after each further step.

    Each is cut at the end of a line or word if one is near. by_lines: whether lines are counted, as ftfy needs it.
    """
    cut = _end if from_end else _start
    for characters in CHARACTERS_PER_TOKEN:
        lines = LINES_PER_TOKEN * context_length if by_lines else len(text)
        part = cut(text, characters * context_length, lines)
        yield part, characters * context_length


def fitted(text: str, most: int, from_end: bool, normalize: Clean | None) -> str:
    """As much of a text's beginning, or end, as `normalize` makes `most` characters of: NFKC makes eighteen of some."""
    text = text[-most:] if from_end else text[:most]
    if normalize is None or len(text) * LARGEST_GROWTH <= most:
        return text
    starts = range(0, len(text), PIECE)
    grown = 0
    for number, start in enumerate(reversed(starts) if from_end else starts, 1):
        grown += len(normalize(text[start : start + PIECE]))
        if grown > most:
            return text[start:] if from_end else text[: number * PIECE]
    return text


def _start(text: str, characters: int, lines: int) -> str:
    first = text.split("\n", lines)
    text = "\n".join(first[:lines]) if len(first) > lines else text
    if len(text) <= characters:
        return text
    ends = (text.rfind(blank, characters // 2, characters) for blank in "\n ")
    return text[: next((end for end in ends if end >= 0), characters)]


def _end(text: str, characters: int, lines: int) -> str:
    last = text.rsplit("\n", lines)
    text = "\n".join(last[-lines:]) if len(last) > lines else text
    if len(text) <= characters:
        return text
    starts = (text.find(blank, len(text) - characters, len(text) - characters // 2) for blank in "\n ")
    return text[next((start for start in starts if start >= 0), len(text) - characters) :]


def _whitespace(text: str) -> str:
    return " ".join(_basic(text).split())


def _lower(text: str) -> str:
    return _whitespace(text).lower()


def _canonicalize(text: str) -> str:
    """As big_vision does: underscores become spaces, ASCII punctuation goes, letters become lower case."""
    return " ".join(_basic(text).translate(_PUNCTUATION).lower().split())


def _siglip(text: str) -> str:
    return _without_punctuation(text.lower())


def _without_punctuation(text: str) -> str:
    """transformers/models/siglip/tokenization_siglip.py, canonicalize_text (5.24.0): no underscore becomes a space."""
    return " ".join(text.replace("\u2581", " ").translate(_NO_PUNCTUATION).split())


def _basic(text: str) -> str:
    return _unescape(_unescape(_fix(text))).strip()


def _unescape(text: str) -> str:
    """html.unescape, which fails on numbers of more than 4300 digits. Beyond Unicode all are the same to it."""
    if "&#" in text:
        text = _BEYOND_UNICODE.sub("&#99999999", _LEADING_ZEROS.sub("&#0", text))
    return html.unescape(text)


def _fix(text: str) -> str:
    """ftfy.fix_text"""
    fixed = []
    unescape = True
    for line in StringIO(text, newline="\n"):
        unescape = unescape and "<" not in line
        fixed.append(_fix_line(line, unescape))
    return "".join(fixed)


def _fix_line(line: str, unescape: bool) -> str:
    """ftfy.fix_and_explain. A line that still changes after the last round stays as it then is."""
    for _ in range(ROUNDS):
        before = line
        if unescape:
            line = fixes.unescape_html(line)
        line = ftfy.fix_encoding(line)
        for fix in _FIXES:
            line = fix(line)
        line = unicodedata.normalize("NFC", _PERHAPS_MARKS.sub(_sort_marks, line))
        if line == before:
            break
    return line


def _sort_marks(found: re.Match[str]) -> str:
    """Long runs of combining marks in the order that normalisation gives them (UAX 15, canonical ordering), so that
    there is nothing left to sort: it takes the square of their number."""
    sorted_text = []
    for is_mark, characters in groupby(found[0], _is_mark):
        run = "".join(characters)
        if is_mark and len(run) > 30:
            decomposed = "".join(map(partial(unicodedata.normalize, "NFD"), run))
            run = "".join(sorted(decomposed, key=unicodedata.combining))
        sorted_text.append(run)
    return "".join(sorted_text)


def _is_mark(character: str) -> bool:
    return unicodedata.combining(character) > 0 or character in _MARKS_IN_PAIRS
