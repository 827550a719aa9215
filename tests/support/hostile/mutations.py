"""Random changes of good and hostile requests: bytes, repeated slices, and values that other tests found dear."""

from __future__ import annotations

import json
import random
from collections.abc import Callable

from ..bad_images import IMAGES
from ..cost import Request
from .images import FILES
from .json_bodies import LIST_FIELDS, VALUES
from .request import BOUNDARY, IMAGE_ROUTES, entries, field, file, form, head, post
from .text_cases import WRITINGS

MOST = 300_000  # bytes of a mutated body, about; most are far smaller
NUMBERS = [bytes([n] * 4) for n in (0, 1, 0x7F, 0x80, 0xFF)] + [b"\xff\xda", b"\xff\xd9", b"\r\n", b"--" + BOUNDARY]
GOOD = [(path, before + right + after) for _, path, before, after, right in LIST_FIELDS]
SMALL_IMAGES = [data for _, data, _ in IMAGES if 0 < len(data) < 60_000]


def some(rng: random.Random, most: int = MOST) -> int:
    """A number up to `most`, of any order of magnitude."""
    return int(most ** rng.random())


def changed(data: bytes, rng: random.Random) -> bytes:
    """Up to sixteen edits: a byte, a number, a cut, random bytes, or a slice that comes again and again."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        at = rng.randrange(len(changed) if rng.random() < 0.5 else min(len(changed), 200)) if changed else 0
        match rng.randrange(6):
            case 0:
                changed[at : at + 1] = bytes([rng.randrange(256)])
            case 1:
                number = rng.choice(NUMBERS)
                changed[at : at + len(number)] = number
            case 2:
                del changed[at : at + rng.randrange(1, 64)]
            case 3:
                changed[at : at + 8] = rng.randbytes(8)
            case _:
                unit = bytes(changed[at : at + some(rng, 300)]) or b"a"
                changed[at:at] = unit * (some(rng, max(2, MOST - len(changed))) // len(unit) + 1)
        if len(changed) > 2 * MOST:
            del changed[MOST:]
    return bytes(changed)


def json_request(rng: random.Random) -> Request:
    path, body = rng.choice(GOOD)
    if rng.random() < 0.5:  # a value that is dear, in place of one that is there
        value = rng.choice(list(VALUES.values()))(some(rng))
        start = body.find(b":") + 1 if b":" in body else 0
        body = body[:start] + value + rng.choice((b"", b"}", b"]}", body[start:]))
    if rng.random() < 0.7:
        body = changed(body, rng)
    return post(rng.choice([path, path, path, rng.choice(GOOD)[0]]), body)


def text_request(rng: random.Random) -> Request:
    """Writings behind and inside each other."""
    parts = [rng.choice(list(WRITINGS.values()))(max(2, some(rng, 60_000))) for _ in range(rng.randrange(1, 5))]
    if rng.random() < 0.3:
        mixed = list("".join(parts))
        rng.shuffle(mixed)
        parts = ["".join(mixed)]
    if rng.random() < 0.3:
        unit = "".join(part[: rng.randrange(1, 9)] for part in parts)
        parts = [unit * (some(rng, 100_000) // len(unit) + 1)]
    text = "".join(parts)[:100_000]
    if rng.random() < 0.2:
        return form(entries("textual"), field(b"text", text.encode()))
    path, key, many = rng.choice(
        [("/embeddings", "text", True), ("/v2/embed", "texts", True), ("/search", "text", False)]
    )
    body = json.dumps({key: [text, text[::-1]] if many else text}, ensure_ascii=rng.random() < 0.5)
    return post(path, body.encode())


def image_request(rng: random.Random) -> Request:
    made = rng.choice(list(FILES.values()))(max(64, some(rng))) if rng.random() < 0.5 else rng.choice(SMALL_IMAGES)
    data = changed(made, rng) if rng.random() < 0.8 else made
    return rng.choice(list(IMAGE_ROUTES.values()))(data[: 4 * MOST])


def form_request(rng: random.Random) -> Request:
    good = form(
        rng.choice((entries("visual"), entries("textual"))), field(b"text", b"a"), file(rng.choice(SMALL_IMAGES))
    )
    start, body = good.pieces
    kind = start.partition(b"Content-Type: ")[2].strip()
    if rng.random() < 0.2:
        kind = _printable(changed(kind, rng)[:30_000])
    return post("/predict", changed(body, rng), f"Content-Type: {kind.decode('latin-1')}\r\n")


NAMES = ["If-Match", "Accept", "Content-Encoding", "Content-Type", "Origin", "Host", "X-Request-Id", "Authorization",
         "Cookie", "Expect", "Upgrade", "Range", "Access-Control-Request-Method", "TE"]  # fmt: skip
PATHS = ["/health", "/ready", "/metrics", "/openapi.json", "/v1/models/a", "/items/a/thumbnail", "/page/app.js",
         "/docs", "/search", "/embeddings", "/predict", "/x"]  # fmt: skip


def http_request(rng: random.Random) -> Request:
    """The frame stays whole: what does not is waited for until a time-out, which tests/server has."""
    method = rng.choice(["GET", "POST", "POST", "POST", "HEAD", "OPTIONS", "PUT", "DELETE", "A" * some(rng, 1000)])
    path = rng.choice(PATHS) + rng.choice(["", "?a=b", "/..", "%2e%2e%2f", "?" + "a=b&" * some(rng, 5000)])
    lines = []
    for _ in range(rng.randrange(0, 4)):
        value = _printable(changed(rng.choice([b"a/b;q=0.1", b"*", b'"a",', b"gzip", b"100-continue"]), rng))
        lines.append(f"{rng.choice(NAMES)}: {value[: some(rng, 20_000)].decode('latin-1')}\r\n")
    body = rng.choice([b"", b'{"text":"a"}', changed(b'{"text":"a"}', rng)])
    if rng.random() < 0.5:
        frame, sent = f"Content-Length: {len(body)}\r\n", body
    else:
        each = some(rng, 1000)
        pieces = [body[i : i + each] for i in range(0, len(body), each)]
        frame = "Transfer-Encoding: chunked\r\n"
        sent = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
    return Request((head(path, frame + "".join(lines), method), sent))


def _printable(value: bytes) -> bytes:
    return bytes(byte if 32 <= byte < 127 else 97 for byte in value)


MUTATIONS: dict[str, Callable[[random.Random], Request]] = {
    "JSON, mutated": json_request,
    "texts, mutated": text_request,
    "images, mutated": image_request,
    "forms, mutated": form_request,
    "HTTP, mutated": http_request,
}
