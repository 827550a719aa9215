"""The documents are in plain English: short sentences, and none of the words that only this project's authors use."""

from __future__ import annotations

import re

import pytest

from ..support.repository import ROOT

MOST_WORDS = 30
PAGES = {
    str(path.relative_to(ROOT)): path.read_text(encoding="utf-8")
    for path in [
        *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "training/README.md")),
        *sorted(ROOT.glob("docs/**/*.md")),
    ]
}
# Words that a newcomer reads twice, and what to write instead.
PRIVATE = {
    r"\btold\b": "says, shows, is known by",
    r"\btells\b": "says, shows",
    r"\bput away\b": "saved, stored",
    r"\bon (its|their) way\b": "say what happens",
    r"\bg(o|oes|oing|one) on (with|where|after)\b": "continue",
    r"\bleft alone\b": "ignored, not changed",
    r"\bin work\b": "being written, being computed",
    r"\bwhat waits\b": "the queue",
    r"\bfor want of\b": "for lack of",
    r"\bbut for\b": "except",
    r"\bnobody\b": "name who, or use the passive",
    r"\bpace\b": "speed",
    r"\bmeanwhile\b": "at the same time",
}


def prose(page: str) -> list[str]:
    """Paragraphs, list items, headings and table cells, without code; a piece of inline code is one word."""
    page = re.sub(r"^```.*?^```$|<!--.*?-->", "", page, flags=re.MULTILINE | re.DOTALL)
    page = re.sub(r"^ {4}(?! *[-*] ).*$", "", page, flags=re.MULTILINE)
    page = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", page)
    page = re.sub(r"`[^`]+`", "CODE", page)
    page = re.sub(r"^(#+ .*|\|.*)$", r"\1\n", page, flags=re.MULTILINE)
    return re.split(r"\n\s*\n|^\s*(?:[-*]|\d+\.) |\|", page, flags=re.MULTILINE)


def sentences(page: str) -> list[str]:
    return [
        " ".join(sentence.split())
        for paragraph in prose(page)
        for sentence in re.split(r"(?<=[.!?])[*)\"]*\s+(?=[A-Z*(0-9])", paragraph)
    ]


def words(sentence: str) -> int:
    return len([word for word in sentence.split() if re.search(r"\w", word)])


def test_it_counts_as_a_reader_does():
    page = "# A title\n\nOne `piece of code` is a word. Two.\n\n    a command\n\n"
    page += "- an item\n- [a link](x.md)\n\n| a | b c |\n"
    counted = [words(sentence) for sentence in sentences(page) if words(sentence)]
    assert counted == [2, 5, 1, 2, 2, 1, 2]


@pytest.mark.parametrize("name", PAGES)
def test_no_sentence_is_too_long(name: str):
    assert [sentence for sentence in sentences(PAGES[name]) if words(sentence) > MOST_WORDS] == []


@pytest.mark.parametrize("name", PAGES)
def test_no_private_word(name: str):
    text = " ".join(sentences(PAGES[name]))
    found = [(match[0], use) for word, use in PRIVATE.items() for match in re.finditer(word, text)]
    assert found == []
