"""What a request asks to embed, and waiting for its vectors."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..embedder import Embedder, Kind
from ..errors import DeadlineExceeded, RequestError, TooLarge
from .base64_field import decode_image

MAX_TEXT_CHARACTERS = 100_000


@dataclass(frozen=True)
class Item:
    """`param` names it in an error: "image", or "image[1]" where there are several."""

    kind: Kind
    content: str | bytes
    param: str


def text_item(text: str, param: str) -> Item:
    """Raises TooLarge for a text that is beyond all use."""
    if len(text) > MAX_TEXT_CHARACTERS:
        raise TooLarge(f"{param}: longer than {MAX_TEXT_CHARACTERS} characters", param)
    return Item("text", text, param)


def image_item(encoded: str, param: str) -> Item:
    """An image as base64 or data URI. Raises InvalidInput."""
    return Item("image", decode_image(encoded, param), param)


def text_items(field: str, texts: Sequence[str]) -> list[Item]:
    """A field's texts, each named. Raises TooLarge."""
    return [text_item(text, param) for text, param in zip(texts, names(field, texts), strict=True)]


def image_items(field: str, images: Sequence[str]) -> list[Item]:
    """A field's images, each named. Raises InvalidInput."""
    return [image_item(image, param) for image, param in zip(images, names(field, images), strict=True)]


def check_count(count: int, max_items: int) -> None:
    """Raises TooLarge."""
    if count > max_items:
        raise TooLarge(f"{count} items in one request, at most {max_items} are allowed")


def names(field: str, values: Sequence[object]) -> list[str]:
    """A name for each value of a field; the index counts only where there are several."""
    return [field] if len(values) == 1 else [f"{field}[{index}]" for index in range(len(values))]


async def embed_items(
    embedder: Embedder, items: Sequence[Item], timeout: float
) -> tuple[NDArray[np.float32], dict[str, float]]:
    """[N, embed_dim] in the items' order, and the longest time in seconds that an item spent in each stage.

    Raises RequestError with the `param` of the first item that failed, DeadlineExceeded, QueueFull.
    """
    jobs = embedder.submit([(item.kind, item.content) for item in items])
    waiting = asyncio.gather(*(asyncio.wrap_future(job.future) for job in jobs), return_exceptions=True)
    try:
        results = await asyncio.wait_for(waiting, timeout)
    except asyncio.TimeoutError as error:  # before Python 3.11 another class than TimeoutError
        raise DeadlineExceeded(f"no answer within {timeout:g} seconds") from error
    vectors = []
    for item, result in zip(items, results, strict=True):
        if isinstance(result, RequestError):
            raise type(result)(f"{item.param}: {result.message}", item.param) from result
        if isinstance(result, BaseException):
            raise result
        vectors.append(result)
    stages = {stage: max(job.seconds[stage] for job in jobs) for stage in jobs[0].seconds}
    return np.stack(vectors), stages
