"""What is asked of the servers: request bodies in files, a line each, as every server's protocol wants them."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from captions import long_captions, mixed_captions, short_captions
from photographs import photographs

Item = tuple[str, str]  # ("text", its characters) or ("image", its base64)


@dataclass(frozen=True)
class Load:
    """`clients`: how many connections ask at once, each waiting for its answer before it asks again."""

    name: str
    clients: tuple[int, ...]
    items: Callable[[], Iterable[Item]]


def texts(captions: Iterable[str]) -> Iterator[Item]:
    return (("text", caption) for caption in captions)


def images(count: int, width: int, height: int) -> Iterator[Item]:
    """Different ones, and more than are ever on their way at once: no server may answer two as one."""
    return (("image", base64.b64encode(file).decode()) for file in photographs(count, width, height))


def all_sizes() -> Iterator[Item]:
    sizes = [(451, 300), (640, 480), (1024, 768), (451, 300), (800, 1200), (640, 480), (1920, 1080), (451, 300)]
    return chain.from_iterable(zip(*(images(8, *size) for size in sizes), strict=True))


def both() -> Iterator[Item]:
    """Three texts for each image."""
    for image, *captions in zip(images(48, 451, 300), *[texts(short_captions(144))] * 3, strict=False):
        yield from (*captions, image)


LOADS = (
    Load("images 451 x 300", (1, 8, 32), lambda: images(64, 451, 300)),
    Load("images of all sizes", (8,), all_sizes),
    Load("images 12 MP", (1, 8), lambda: images(12, 4000, 3000)),
    Load("short texts", (1, 8, 32), lambda: texts(short_captions(40_000))),
    Load("long texts", (8,), lambda: texts(long_captions(10_000))),
    Load("texts of both lengths", (8, 32), lambda: texts(mixed_captions(20_000))),
    Load("texts and images", (8,), both),
)


def native(kind: str, content: str) -> dict[str, str]:
    """The original's protocol, and ours."""
    return {kind: content}


def infinity(kind: str, content: str) -> dict[str, str | list[str]]:
    """Infinity's extension of OpenAI's protocol."""
    content = content if kind == "text" else f"data:image/jpeg;base64,{content}"
    return {"model": "clip", "input": [content], "modality": kind}


def write_bodies(folder: Path, loads: Iterable[Load] = LOADS) -> None:
    """A file for each load and protocol; those that are there already are left alone."""
    folder.mkdir(parents=True, exist_ok=True)
    for load in loads:
        paths = {protocol: bodies_file(folder, load, protocol.__name__) for protocol in (native, infinity)}
        if all(path.exists() for path in paths.values()):
            continue
        items = list(load.items())
        for protocol, path in paths.items():
            path.write_text("".join(json.dumps(protocol(*item)) + "\n" for item in items))


def bodies_file(folder: Path, load: Load, protocol: str) -> Path:
    return folder / f"{load.name.replace(' ', '_')}.{protocol}.jsonl"
