"""Requests that an attacker would send, by kind, each at any size: what tests/fuzz and tests/chaos measure.

A case makes a request of about `size` bytes. What is dear in it should be so for any size, so that a cost which grows
faster than the request shows.
"""

from __future__ import annotations

from . import images, json_bodies, text_cases, wire
from .request import Case

KINDS: dict[str, list[Case]] = {
    "JSON of many items": json_bodies.LISTS,
    "JSON of odd shapes": json_bodies.SHAPES,
    "texts": text_cases.TEXTS,
    "labels and templates": text_cases.TEMPLATES,
    "images": images.CASES,
    "forms": wire.FORMS,
    "HTTP": wire.HTTP,
}
# One or two of each sort, for a run of a minute or so
SHORT_KINDS: dict[str, list[Case]] = KINDS | {
    "JSON of many items": json_bodies.SHORT_LISTS,
    "JSON of odd shapes": json_bodies.SHORT_SHAPES,
    "texts": text_cases.SHORT_TEXTS,
    "images": images.SHORT,
}
