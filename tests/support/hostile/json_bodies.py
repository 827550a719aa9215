"""JSON: many items, wrong or tiny, in each list that a route takes; and shapes that no client has."""

from __future__ import annotations

from collections.abc import Callable

from ..cost import Request
from .request import MODEL, Case, field, form, post

PICTURE = b"iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAIAAABLbSncAAAAEUlEQVR42mM4ISeHFTEMLQkAkL9BAc9woTwAAAAASUVORK5CYII="
TEXT, ENTRY, PART, INPUT = b'"a"', b'{"text":"a"}', b'{"type":"text","text":"a"}', b'{"content":"a"}'

# path, what stands before and behind the list, an item that is right
LIST_FIELDS: list[tuple[str, str, bytes, bytes, bytes]] = [
    ("text", "/embeddings", b'{"text":[', b"]}", TEXT),
    ("image", "/embeddings", b'{"image":[', b"]}", b'"' + PICTURE + b'"'),
    ("input", "/embeddings", b'{"input":[', b"]}", TEXT),
    ("messages", "/embeddings", b'{"messages":[', b"]}", b'{"role":"user","content":"a"}'),
    ("messages.content", "/embeddings", b'{"messages":[{"role":"user","content":[', b"]}]}", PART),
    ("input", "/v1/embeddings", b'{"input":[', b"]}", ENTRY),
    ("embedding_type", "/v1/embeddings", b'{"input":"a","embedding_type":[', b"]}", b'"float"'),
    ("body", "/encode", b"[", b"]", ENTRY),
    ("queries", "/rank", b'{"candidates":[{"text":"a"}],"queries":[', b"]}", ENTRY),
    ("candidates", "/rank", b'{"queries":[{"text":"a"}],"candidates":[', b"]}", ENTRY),
    ("labels", "/classify", b'{"image":"' + PICTURE + b'","labels":[', b"]}", TEXT),
    ("templates", "/classify", b'{"image":"' + PICTURE + b'","labels":["a"],"templates":[', b"]}", b'"{}"'),
    ("images", "/classify", b'{"labels":["a"],"images":[', b"]}", b'"' + PICTURE + b'"'),
    ("texts", "/v2/embed", b'{"texts":[', b"]}", TEXT),
    ("images", "/v2/embed", b'{"images":[', b"]}", b'"' + PICTURE + b'"'),
    ("inputs", "/v2/embed", b'{"inputs":[', b"]}", INPUT),
    ("inputs.content", "/v2/embed", b'{"inputs":[{"content":[', b"]}]}", PART),
    ("embedding_types", "/v2/embed", b'{"texts":["a"],"embedding_types":[', b"]}", b'"float"'),
    ("texts", "/vectorize", b'{"texts":[', b"]}", TEXT),
    ("images", "/vectorize", b'{"images":[', b"]}", b'"' + PICTURE + b'"'),
    ("vector", "/search", b'{"vector":[', b"]}", b"0.1"),
    ("filter", "/search", b'{"text":"a","filter":{"id":[', b"]}}", TEXT),
    ("input", "/api/embed", b'{"input":[', b"]}", TEXT),
    ("images", "/api/embed", b'{"images":[', b"]}", b'"' + PICTURE + b'"'),
    ("inputs", "/embed", b'{"inputs":[', b"]}", TEXT),
    ("inputs", "/", b'{"parameters":{"candidate_labels":["a"]},"inputs":[', b"]}", b'"' + PICTURE + b'"'),
    (
        "parameters.candidate_labels",
        "/invocations",
        b'{"inputs":"' + PICTURE + b'","parameters":{"candidate_labels":[',
        b"]}}",
        TEXT,
    ),
    ("instances", "/predict", b'{"instances":[', b"]}", ENTRY),
    (
        "inputs.data",
        f"/v2/models/{MODEL}/infer",
        b'{"inputs":[{"name":"text","datatype":"BYTES","shape":[1],"data":[',
        b"]}]}",
        TEXT,
    ),
    ("text", "/clip/embed_text", b'{"text":[', b"]}", TEXT),
    ("image", "/clip/embed_image", b'{"image":[', b"]}", b'{"value":"' + PICTURE + b'"}'),
    ("prompt", "/clip/compare", b'{"subject":"a","subject_type":"text","prompt":[', b"]}", TEXT),
    ("inputs", "/v1/multimodalembeddings", b'{"inputs":[', b"]}", INPUT),
    ("inputs.content", "/v1/multimodalembeddings", b'{"inputs":[{"content":[', b"]}]}", PART),
]
WRONG = [b"1", b'""', b"{}", b"[]", b"null", b'{"text":1}', b'{"type":"text"}', b"[{}]", b'{"":{}}']
OFTEN = WRONG[:3]  # what the short run has of them


def filled(before: bytes, item: bytes, after: bytes, size: int, between: bytes = b",") -> bytes:
    """As many items as make the whole about `size` bytes."""
    count = max(1, (size - len(before) - len(after)) // (len(item) + len(between)))
    return before + between.join([item] * count) + after


def _list_case(name: str, path: str, before: bytes, after: bytes, item: bytes) -> Case:
    return Case(f"{path} {name}: {item[:30].decode()} × n", lambda size: post(path, filled(before, item, after, size)))


LISTS = [
    _list_case(name, path, before, after, item)
    for name, path, before, after, right in LIST_FIELDS
    for item in [right, *WRONG]
]
SHORT_LISTS = [
    _list_case(name, path, before, after, item)
    for number, (name, path, before, after, right) in enumerate(LIST_FIELDS)
    for item in [right, OFTEN[number % len(OFTEN)]]
]

# What stands where a value is expected, of about n bytes
VALUES: dict[str, Callable[[int], bytes]] = {
    "nested lists": lambda n: b"[" * (n // 2) + b"]" * (n // 2),
    "nested lists without an end": lambda n: b"[" * n,
    "nested objects": lambda n: b'{"a":' * (n // 6) + b"1" + b"}" * (n // 6),
    "lists of lists": lambda n: filled(b"[", b"[[[[[[[[]]]]]]]]", b"]", n),
    "many keys": lambda n: b"{" + b",".join(b'"%d":0' % i for i in range(max(1, n // 10))) + b"}",
    "one key again and again": lambda n: filled(b"{", b'"a":0', b"}", n),
    "a long key": lambda n: b'{"' + b"a" * n + b'":0}',
    "a long number": lambda n: b"9" * n,
    "a long fraction": lambda n: b"0." + b"9" * n,
    "a long exponent": lambda n: b"1e" + b"9" * n,
    "long numbers": lambda n: filled(b"[", b"9" * 4000, b"]", n),
    "numbers of great exponents": lambda n: filled(b"[", b"1e308", b"]", n),
    "fractions": lambda n: filled(b"[", b"0.123456789012345678", b"]", n),
    "true": lambda n: filled(b"[", b"true", b"]", n),
    "escaped NUL": lambda n: b'"' + b"\\u0000" * (n // 6) + b'"',
    "lone surrogates": lambda n: b'"' + b"\\ud800" * (n // 6) + b'"',
    "surrogate pairs": lambda n: b'"' + b"\\ud83d\\ude00" * (n // 12) + b'"',
    "backslashes": lambda n: b'"' + b"\\\\" * (n // 2) + b'"',
    "a long string": lambda n: b'"' + b"a" * n + b'"',
    "a long string without an end": lambda n: b'"' + b"a" * n,
    "white space": lambda n: b" " * n + b"1",
    "a list without an end": lambda n: b"[" + b"0," * (n // 2),
    "a list of commas": lambda n: b"[" + b"," * n + b"]",
    "NUL bytes": lambda n: bytes(n),
    "bytes that are no UTF-8": lambda n: b'"' + b"\xff" * n + b'"',
    "numbers that are none": lambda n: filled(b"[", b"NaN", b"]", n),
}
# Where such a value is put
PLACES: dict[str, Callable[[bytes], Request]] = {
    "/embeddings text": lambda value: post("/embeddings", b'{"text":' + value + b"}"),
    "/embeddings, unknown field": lambda value: post("/embeddings", b'{"text":"a","x":' + value + b"}"),
    "/v1/embeddings input": lambda value: post("/v1/embeddings", b'{"input":' + value + b"}"),
    "/encode": lambda value: post("/encode", value),
    "/search filter": lambda value: post("/search", b'{"text":"a","filter":' + value + b"}"),
    "/search filter.id": lambda value: post("/search", b'{"text":"a","filter":{"id":' + value + b"}}"),
    "/predict entries": lambda value: form(field(b"entries", b'{"clip":{"textual":' + value + b"}}")),
}


def _shape_case(place: str, value: str) -> Case:
    return Case(f"{place}: {value}", lambda size: PLACES[place](VALUES[value](size)))


SHAPES = [_shape_case(place, value) for place in PLACES for value in VALUES]
SHORT_SHAPES = [_shape_case(place, value) for value, place in zip(VALUES, list(PLACES) * len(VALUES), strict=False)]
