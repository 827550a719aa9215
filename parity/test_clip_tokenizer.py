"""CLIP's own tokenizer, id by id."""

from __future__ import annotations

import numpy as np
import open_clip
import pytest

from openclip_api.checkpoints.config import TokenizerConfig
from openclip_api.inputs.tokenizer import Tokenizer, build_tokenizer

from .texts import ALPHABETS, NASTY, PATHOLOGICAL, long_texts, random_texts

RANDOM_TEXTS = 24_000


def both(context_length: int, clean: str) -> tuple[Tokenizer, open_clip.SimpleTokenizer]:
    config = TokenizerConfig(context_length, clean=clean)
    return build_tokenizer(config, None), open_clip.SimpleTokenizer(context_length=context_length, clean=clean)


@pytest.mark.parametrize("clean", ["lower", "whitespace", "canonicalize"])
@pytest.mark.parametrize("context_length", [77, 32, 16])
def test_nasty_texts(context_length: int, clean: str) -> None:
    ours, theirs = both(context_length, clean)
    for text in NASTY:
        np.testing.assert_array_equal(ours(text).ids, theirs(text)[0].numpy(), repr(text))


@pytest.mark.parametrize(
    ("clean", "context_length", "count"),
    [("lower", 77, RANDOM_TEXTS), ("whitespace", 32, RANDOM_TEXTS // 4), ("canonicalize", 16, RANDOM_TEXTS // 4)],
)
def test_random_texts(clean: str, context_length: int, count: int) -> None:
    ours, theirs = both(context_length, clean)
    texts = list(random_texts(count, seed=context_length))
    assert len(set(texts)) > 0.9 * count
    for text in texts:
        np.testing.assert_array_equal(ours(text).ids, theirs(text)[0].numpy(), repr(text))


@pytest.mark.parametrize(("clean", "context_length"), [("lower", 77), ("whitespace", 32), ("canonicalize", 64)])
def test_long_texts(clean: str, context_length: int) -> None:
    """Of which only the start is read here."""
    ours, theirs = both(context_length, clean)
    for text in [*long_texts(300, seed=context_length), *PATHOLOGICAL["equal"]]:
        np.testing.assert_array_equal(ours(text).ids, theirs(text)[0].numpy(), ascii(text)[:200])


@pytest.mark.parametrize("text", PATHOLOGICAL["different"], ids=lambda text: ascii(text)[:20])
def test_what_nobody_writes_is_read_otherwise(text: str) -> None:
    """All that is known to differ: see parity/texts.py."""
    ours, theirs = both(77, "canonicalize")
    assert (ours(text).ids != theirs(text)[0].numpy()).any()


@pytest.mark.parametrize("name", ALPHABETS)
def test_every_character_of_the_alphabets(name: str) -> None:
    ours, theirs = both(77, "lower")
    for character in ALPHABETS[name]:
        np.testing.assert_array_equal(ours(character).ids, theirs(character)[0].numpy(), repr(character))


def test_defaults() -> None:
    """Without any option both sides lower the case and give 77 ids."""
    ours, theirs = build_tokenizer(TokenizerConfig(), None), open_clip.get_tokenizer("ViT-B-32")
    for text in NASTY:
        np.testing.assert_array_equal(ours(text).ids, theirs(text)[0].numpy(), repr(text))
