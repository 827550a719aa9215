from __future__ import annotations

import asyncio
from typing import Any

from openclip_api.fetch.fetcher import ImageFetcher


def words(text: str) -> list[str]:
    return text.split()


def fetch(url: str, reserve: Any = lambda count: None, **options: Any) -> bytes:
    async def run() -> bytes:
        return await ImageFetcher(**options).fetch(url, reserve)

    return asyncio.run(run())
