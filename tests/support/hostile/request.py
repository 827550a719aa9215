"""A request of a given route, as bytes."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass

from ..cost import Request

BOUNDARY = b"frontier"
MODEL = "emoji"  # built in, so that /predict can name it


@dataclass(frozen=True)
class Case:
    name: str
    make: Callable[[int], Request]  # bytes wanted, about


def post(path: str, body: bytes, headers: str = "Content-Type: application/json\r\n") -> Request:
    return Request((head(path, f"Content-Length: {len(body)}\r\n{headers}"), body))


def head(path: str, headers: str, method: str = "POST") -> bytes:
    return f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n".encode("latin-1")


def post_json(path: str, body: object) -> Request:
    """Texts go as UTF-8, not as escapes: a client may do either, and this has more of them to the byte."""
    return post(path, json.dumps(body, ensure_ascii=False).encode("utf-8", "surrogatepass"))


def form(*parts: bytes, end: bytes = b"--" + BOUNDARY + b"--\r\n", boundary: bytes = BOUNDARY) -> Request:
    """multipart/form-data for /predict; each part with its headers."""
    body = b"".join(b"--" + boundary + b"\r\n" + part + b"\r\n" for part in parts) + end
    return post("/predict", body, f"Content-Type: multipart/form-data; boundary={boundary.decode('latin-1')}\r\n")


def embeddings_form(*parts: bytes) -> Request:
    """The same for /embeddings."""
    start, body = form(*parts).pieces
    return Request((start.replace(b" /predict ", b" /embeddings "), body))


def field(name: bytes, value: bytes, headers: bytes = b"") -> bytes:
    return b'Content-Disposition: form-data; name="' + name + b'"\r\n' + headers + b"\r\n" + value


def entries(task: str) -> bytes:
    return field(b"entries", json.dumps({"clip": {task: {"modelName": MODEL}}}).encode())


def file(data: bytes, name: bytes = b"image") -> bytes:
    disposition = b'Content-Disposition: form-data; name="' + name + b'"; filename="a"\r\n'
    return disposition + b"Content-Type: application/octet-stream\r\n\r\n" + data


def image_as_json(data: bytes) -> Request:
    return post_json("/embeddings", {"image": base64.b64encode(data).decode()})


def image_as_body(data: bytes) -> Request:
    return post("/embeddings", data, "Content-Type: image/png\r\n")


def image_as_form(data: bytes) -> Request:
    return form(entries("visual"), file(data))


def image_as_part(data: bytes) -> Request:
    part = {"type": "image_base64", "image_base64": "data:image/png;base64," + base64.b64encode(data).decode()}
    return post_json("/v1/multimodalembeddings", {"inputs": [{"content": [part]}]})


IMAGE_ROUTES: dict[str, Callable[[bytes], Request]] = {
    "/embeddings, base64": image_as_json,
    "/embeddings, raw": image_as_body,
    "/predict": image_as_form,
    "/v1/multimodalembeddings": image_as_part,
}
