"""Waiting for an embedder's jobs from an async handler."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..embedder import Embedder
from ..errors import DeadlineExceeded, RequestError


async def wait_for_vectors(
    embedder: Embedder, texts: Sequence[str], images: Sequence[bytes], timeout: float
) -> tuple[NDArray[np.float32], dict[str, float]]:
    """[N, embed_dim], texts first, and the longest time in seconds that an item spent in each stage.

    Raises RequestError with `param` naming the first item that failed, DeadlineExceeded, QueueFull.
    """
    jobs = embedder.submit(texts, images)
    waiting = asyncio.gather(*(asyncio.wrap_future(job.future) for job in jobs), return_exceptions=True)
    try:
        results = await asyncio.wait_for(waiting, timeout)
    except asyncio.TimeoutError as error:  # before Python 3.11 another class than TimeoutError
        raise DeadlineExceeded(f"no answer within {timeout:g} seconds") from error
    vectors = []
    for index, result in enumerate(results):
        if isinstance(result, RequestError):
            param = (
                item_name("text", index, len(texts))
                if index < len(texts)
                else item_name("image", index - len(texts), len(images))
            )
            raise type(result)(f"{param}: {result.message}", param) from result
        if isinstance(result, BaseException):
            raise result
        vectors.append(result)
    stages = {stage: max(job.seconds[stage] for job in jobs) for stage in jobs[0].seconds}
    return np.stack(vectors), stages


def item_name(field: str, index: int, count: int) -> str:
    """How an error names an item: "image", or "image[1]" where there are several."""
    return field if count == 1 else f"{field}[{index}]"
