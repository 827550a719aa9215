"""Fetches the images of a request that are given as URLs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from ...errors import InvalidInput, RequestError, TooLarge
from ...fetch.fetcher import ImageFetcher
from .items import ImageURL, Item

MAX_IMAGE_URLS = 32  # in one request
OFF = "image URLs are not fetched here (ALLOW_IMAGE_URLS is off): send the image as base64"


async def contents_of(
    items: Sequence[Item], fetcher: ImageFetcher | None, reserve: Callable[[int], None]
) -> list[str | bytes]:
    """The items' texts and image bytes. Each different URL is fetched once.

    reserve: called with the number of bytes before they are kept.
    Raises the first failure under its item's name: InvalidInput, TooLarge, ImageUnreachable, DeadlineExceeded,
    and QueueFull where `reserve` raises it.
    """
    first = {item.content.url: item for item in reversed(items) if isinstance(item.content, ImageURL)}
    if len(first) > MAX_IMAGE_URLS:
        raise TooLarge(f"more than {MAX_IMAGE_URLS} image URLs in one request")
    fetched = dict(zip(first, await _fetch_all(list(first.values()), fetcher, reserve), strict=True))
    return [fetched[item.content.url] if isinstance(item.content, ImageURL) else item.content for item in items]


async def _fetch_all(
    items: Sequence[Item], fetcher: ImageFetcher | None, reserve: Callable[[int], None]
) -> list[bytes]:
    tasks = [asyncio.ensure_future(_fetch(item, fetcher, reserve)) for item in items]
    if not tasks:
        return []
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        return [task.result() for task in tasks if task.done()]  # the first failure is raised
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)  # what they hold is free from here on


async def _fetch(item: Item, fetcher: ImageFetcher | None, reserve: Callable[[int], None]) -> bytes:
    assert isinstance(item.content, ImageURL)
    if fetcher is None:
        raise InvalidInput(f"{item.param}: {OFF}", item.param)
    try:
        return await fetcher.fetch(item.content.url, reserve)
    except RequestError as error:
        raise type(error)(f"{item.param}: {error.message}", item.param) from error
