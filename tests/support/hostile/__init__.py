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

# What was seen to freeze or end a server, or would if it were not bounded: for the largest requests
LARGEST = {
    "JSON of many items": [
        "/embeddings text: 1 × n",
        "/embeddings messages: {} × n",
        "/encode body: 1 × n",
        "/encode body: {} × n",
        '/encode body: {"text":"a"} × n',
        "/v1/embeddings input: 1 × n",
        "/v2/embed inputs: {} × n",
        "/vectorize texts: 1 × n",
        '/search vector: "" × n',
        '/rank candidates: {"text":1} × n',
    ],
    "JSON of odd shapes": [
        "/embeddings, unknown field: nested lists",
        "/embeddings, unknown field: lists of lists",
        "/embeddings, unknown field: many keys",
        "/embeddings, unknown field: true",
        "/embeddings, unknown field: long numbers",
        "/embeddings text: escaped NUL",
        "/predict entries: true",
    ],
    "texts": [
        "/embeddings: combining marks in falling class",
        "/embeddings: combining marks, falling once",
        "/embeddings: newlines",
        "/embeddings: one long word",
        "/embeddings: emoji joined",
        "/embeddings: HTML numbers",
        "/embeddings: mojibake of mojibake",
        "/embeddings, 2048 texts: newlines",
    ],
    "labels and templates": [case.name for case in text_cases.TEMPLATES],
    "images": [
        "/predict: PNG of many iCCP",
        "/v1/multimodalembeddings: PNG of many iCCP",
        "/embeddings, base64: PNG of many iCCP",
        "/embeddings, raw: PNG of many IDAT",
        "/embeddings, raw: PNG that goes on inflating",
        "/embeddings, raw: JPEG of many EXIF",
        "/embeddings, raw: JPEG of many empty APP0",
        "/embeddings, raw: JPEG of many scans",
        "/embeddings, raw: BMP of run lengths",
        "/embeddings, raw: BMP of lines' ends",
        "/embeddings, raw: GIF of comments",
        "/embeddings, raw: GIF of frames",
    ],
    "forms": ["a text said to be idna", "many fields", "almost boundaries", "line ends"],
    "HTTP": [
        "chunks of one byte",
        "a body to a route that is not there",
        "a body larger than is read",
        "many trailers",
    ],
}
LARGEST_KINDS = {
    kind: [case for name in names for case in KINDS[kind] if case.name == name] for kind, names in LARGEST.items()
}
