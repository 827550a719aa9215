"""Forms, headers, chunks and addresses: what is read before there is a body to look at."""

from __future__ import annotations

import json
from collections.abc import Callable

from ..bad_images import PNG
from ..cost import Request
from .request import BOUNDARY, Case, embeddings_form, entries, field, file, form, head, post

MOST_OF_HEADERS = 60_000  # bytes; the server takes 64 KB
TOO_LARGE = 40_000_000  # bytes; MAX_BODY_MB is 32
TEXT = json.dumps({"text": "a"}).encode()
PART_HEADERS = b"X-A: b\r\n"


def _fields(size: int) -> Request:
    return form(*[field(b"a%d" % i, b"") for i in range(max(1, size // 66))])


def _typed(charset: bytes) -> Callable[[int], Request]:
    def make(size: int) -> Request:
        text = field(b"text", b"a" * size, b"Content-Type: text/plain; charset=" + charset + b"\r\n")
        return form(entries("textual"), text)

    return make


def _form_charset(charset: str) -> Callable[[int], Request]:
    def make(size: int) -> Request:
        made = form(entries("textual"), field(b"text", b"xn--" + b"9" * size))
        start = made.pieces[0].replace(b"boundary=", f"charset={charset}; boundary=".encode())
        return Request((start, *made.pieces[1:]))

    return make


CODECS = ["idna", "punycode", "undefined", "unicode_escape", "utf-7", "utf-16", "hex", "rot13", "zlib", "\xff"]
FORMS = [
    Case("many fields", _fields),
    Case("many fields of one name", lambda size: form(*[field(b"text", b"a")] * max(1, size // 66))),
    Case("many files", lambda size: form(entries("visual"), *[file(b"")] * max(1, size // 130))),
    Case("a part of many headers", lambda size: form(field(b"text", b"a", PART_HEADERS * (size // len(PART_HEADERS))))),
    Case("a part of one long header", lambda size: form(field(b"text", b"a", b"X-A: " + b"b" * size + b"\r\n"))),
    Case("a part of a long name", lambda size: form(field(b"a" * size, b"a"))),
    Case("a part of many parameters", lambda size: form(field(b'a"; a="b' * (size // 9), b"a"))),
    Case("a part of quotes and backslashes", lambda size: form(field(b'\\"' * (size // 2), b"a"))),
    Case("many images", lambda size: embeddings_form(*[file(PNG)] * max(1, size // (len(PNG) + 130)))),
    Case("many empty images", lambda size: embeddings_form(*[file(b"")] * max(1, size // 130))),
    Case("many texts", lambda size: embeddings_form(*[field(b"text", b"a")] * max(1, size // 66))),
    Case("long texts", lambda size: embeddings_form(*[field(b"text", b"a" * 90_000)] * max(1, size // 90_000))),
    Case("an image as a field", lambda size: embeddings_form(field(b"image", b"a" * size))),
    Case("a text as a file", lambda size: embeddings_form(file(b"a" * size, b"text"))),
    Case("no end", lambda size: form(entries("visual"), file(b"a" * size), end=b"")),
    Case("almost boundaries", lambda size: form(entries("visual"), file((b"\r\n--" + BOUNDARY[:-1]) * (size // 11)))),
    Case("line ends", lambda size: form(entries("visual"), file(b"\r\n" * (size // 2)))),
    Case("carriage returns", lambda size: form(entries("visual"), file(b"\r" * size))),
    Case("dashes", lambda size: form(entries("visual"), file(b"\r\n--" * (size // 4)))),
    Case("a long boundary", lambda size: form(entries("textual"), boundary=b"a" * min(size, 30_000))),
    Case("a preamble", lambda size: form(end=b"a" * size)),
    Case("boundaries alone", lambda size: form(*[b""] * (size // 14))),
    *[Case(f"a text said to be {codec}", _typed(codec.encode("latin-1"))) for codec in CODECS],
    *[Case(f"a form said to be {codec}", _form_charset(codec)) for codec in CODECS[:-1]],
    Case(
        "a field that names the charset",
        lambda size: form(field(b"_charset_", b"idna"), entries("textual"), field(b"text", b"a" * size)),
    ),
]


def _chunked(
    body: bytes, each: int, extension: bytes = b"", trailer: bytes = b"", path: str = "/embeddings"
) -> Request:
    chunks = b"".join(
        b"%x%s\r\n%s\r\n" % (len(part), extension, part)
        for part in (body[i : i + each] for i in range(0, len(body), each))
    )
    start = head(path, "Transfer-Encoding: chunked\r\nContent-Type: application/json\r\n")
    return Request((start, chunks + b"0\r\n" + trailer + b"\r\n"))


def _long_text(size: int) -> bytes:
    return b'{"text":"' + b"a" * size + b'"}'


def _headers(make: Callable[[int], str]) -> Callable[[int], Request]:
    """With as much of headers as the server takes; a size beyond that changes nothing."""
    return lambda size: post("/embeddings", TEXT, make(min(size, MOST_OF_HEADERS)))


def _path(make: Callable[[int], str]) -> Callable[[int], Request]:
    return lambda size: Request((head(make(min(size, MOST_OF_HEADERS)), "", "GET"),))


def _drip(size: int) -> Request:
    body = _long_text(min(size, 50_000))
    start = head("/embeddings", f"Content-Length: {len(body)}\r\nContent-Type: application/json\r\n")
    step = len(body) // 20 + 1
    return Request((start, *(body[i : i + step] for i in range(0, len(body), step))), pause=0.03)


HTTP = [
    Case("chunks of one byte", lambda size: _chunked(_long_text(size // 6), 1)),
    Case("chunks of one byte, a form's", lambda size: _chunked(_long_text(size // 6), 1, path="/predict")),
    Case("chunks of one byte to a route that is not there", lambda size: _chunked(_long_text(size // 6), 1, path="/x")),
    Case("chunks with extensions", lambda size: _chunked(_long_text(size // 60), 1, b";a=" + b"b" * 50)),
    Case("one long chunk extension", lambda size: _chunked(TEXT, 1000, b";" + b"a" * size)),
    Case("many trailers", lambda size: _chunked(TEXT, 1000, trailer=b"A: b\r\n" * (size // 6))),
    Case("one long trailer", lambda size: _chunked(TEXT, 1000, trailer=b"A: " + b"b" * size + b"\r\n")),
    Case(
        "a body after GET", lambda size: Request((head("/health", f"Content-Length: {size}\r\n", "GET"), b"a" * size))
    ),
    Case("a body to a route that is not there", lambda size: post("/x", b"a" * size)),
    Case(
        "a body that is said to be packed", lambda size: post("/embeddings", b"a" * size, "Content-Encoding: gzip\r\n")
    ),
    Case("a body larger than is read", lambda _: post("/embeddings", b"a" * TOO_LARGE)),
    Case("a body larger than is read, in chunks", lambda _: _chunked(bytes(TOO_LARGE), 65_536)),
    Case("a body of no type", lambda size: post("/embeddings", _long_text(size), "")),
    Case("a body in twenty pieces", _drip),
    Case("many headers", _headers(lambda size: "A: b\r\n" * (size // 6))),
    Case(
        "many headers of names of their own", _headers(lambda size: "".join(f"A{i}: b\r\n" for i in range(size // 12)))
    ),
    Case("a long header", _headers(lambda size: "A: " + "b" * size + "\r\n")),
    Case("If-Match of many tags", _headers(lambda size: 'If-Match: "a"' + ',"a"' * (size // 4) + "\r\n")),
    Case("Accept of many types", _headers(lambda size: "Accept: a/b" + ",a/b;q=0" * (size // 8) + "\r\n")),
    Case(
        "a content type of many parameters", _headers(lambda size: "Content-Type: a/b" + ";a=b" * (size // 4) + "\r\n")
    ),
    Case("cookies", _headers(lambda size: "Cookie: " + "a=b;" * (size // 4) + "\r\n")),
    Case("Origin", _headers(lambda size: "Origin: http://" + "a" * size + "\r\n")),
    Case("X-Request-Id", _headers(lambda size: "X-Request-Id: " + "a" * size + "\r\n")),
    Case("a long query", _path(lambda size: "/health?" + "a" * size)),
    Case("a query of many fields", _path(lambda size: "/health?" + "a=b&" * (size // 4))),
    Case("a query of escapes", _path(lambda size: "/health?a=" + "%41" * (size // 3))),
    Case("a long path", _path(lambda size: "/" + "a" * size)),
    Case("a path of slashes", _path(lambda size: "/" * size)),
    Case("a path of escapes", _path(lambda size: "/page/" + "%2e%2e%2f" * (size // 9))),
    Case("a model of a long name", _path(lambda size: "/v1/models/" + "a/" * (size // 2))),
    Case("a thumbnail of a long name", _path(lambda size: "/items/" + "a/" * (size // 2) + "thumbnail")),
]
