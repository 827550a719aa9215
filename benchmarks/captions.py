"""Texts as search boxes and alt attributes have them; none comes twice."""

from __future__ import annotations

import random
from collections.abc import Callable

WORDS = """red blue green yellow black white grey brown pink purple orange golden silver dark pale bright
old new small large wooden leather cotton plastic steel striped folded painted used vintage cheap heavy
sofa chair table lamp car bicycle cat dog horse house tree mountain river beach boat train phone laptop camera shirt
standing lying seen photographed left waiting hanging shown found placed parked resting
on a beach|in the snow|at night|in a kitchen|by the window|under a tree|in an old town|in the rain|at sunset"""
COLOURS, KINDS, THINGS, ACTIONS = map(str.split, WORDS.splitlines()[:4])
PLACES = WORDS.splitlines()[4].split("|")


def short_captions(count: int, seed: int = 0) -> list[str]:
    """Three to seven words each: 5 to 9 of CLIP's tokens with the two special ones. At most 51,200."""
    captions = [
        f"{colour} {kind} {thing} {place}".strip()
        for colour in COLOURS
        for kind in KINDS
        for thing in THINGS
        for place in ("", *PLACES)
    ]
    random.Random(seed).shuffle(captions)
    return captions[:count]


def long_captions(count: int, seed: int = 0) -> list[str]:
    """Some 30 words each: 30 to 50 tokens."""

    def caption(r: random.Random) -> str:
        parts = [
            f"a {r.choice(COLOURS)} {r.choice(THINGS)} {r.choice(ACTIONS)} {r.choice(PLACES)}"
            for _ in range(r.randint(3, 4))
        ]
        return "a photograph of " + ", beside it ".join(parts)

    return _distinct(count, seed, caption)


def mixed_captions(count: int, seed: int = 0) -> list[str]:
    """Three short ones for each long one, in random order."""
    captions = short_captions(count - count // 4, seed) + long_captions(count // 4, seed)
    random.Random(seed).shuffle(captions)
    return captions


def _distinct(count: int, seed: int, make: Callable[[random.Random], str]) -> list[str]:
    """A number at the end of what would come twice keeps them apart, as article numbers do."""
    r = random.Random(seed)
    seen: set[str] = set()
    captions = []
    for number in range(count):
        caption = make(r)
        caption = f"{caption} {number}" if caption in seen else caption
        seen.add(caption)
        captions.append(caption)
    return captions
