"""The one call between a protocol's request and its answer: items come in, vectors go out."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from itertools import count

import numpy as np
from fastapi import Request
from numpy.typing import NDArray

from ...errors import DeadlineExceeded, InvalidInput, ModelMismatch, RequestError, TooLarge
from ...inputs.languages import flores_code
from ...runtime.embedder import Embedder
from ...runtime.embedding import Embedding, Kind, ModelInfo
from ...settings import Settings
from ..context import context_of, state_of
from .image_urls import contents_of
from .items import Item

STAGES = ("decode", "queue", "compute")  # the fields of Timings


@dataclass(frozen=True)
class Embedded:
    """The items' embeddings in their order, and what an answer's headers and usage tell of them."""

    info: ModelInfo
    embeddings: list[Embedding]  # [N]
    vectors: NDArray[np.float32]  # [N, embed_dim], as the model gives them
    tokens: list[int]  # [N], 0 for an image
    truncated: list[bool]  # [N], whether a text was cut at the context length
    stages: dict[str, float]  # stage → the longest time in seconds that an item spent in it


async def embed(
    request: Request,
    items: Iterable[Item],
    model: str | None,
    *,
    truncate: bool = True,
    language: str | None = None,
    must_know_language: bool = True,
) -> Embedded:
    """model: the name of one of the server's models, None for the first. truncate: False refuses too long a text.
    language: of the texts, as FLORES-200 or BCP 47 writes it, for a model that wants to know it. One that the model
    does not know is refused if must_know_language, else the model's own is taken.

    Raises RequestError with the `param` of the first item that is wrong: TooLarge (also for more texts than MAX_TEXTS
    or more images than MAX_ITEMS), ModelNotFound, ModelMismatch, InvalidInput, InvalidImage, ImageUnreachable,
    NotReady, QueueFull, Overloaded, DeadlineExceeded.
    """
    context = context_of(request)
    settings = context.settings
    counted = _counted(items, settings)
    with context.byte_budget.reservation() as reserve:
        contents = await contents_of(counted, context.fetcher, reserve)
        async with context.model_pool.use(model, settings.request_timeout) as embedder:
            _check_fingerprint(request, embedder.info)
            await asyncio.sleep(0)  # requests that came together all reach this point before the first one goes on
            code = _language(embedder, language, must_know_language)
            asked = [(item.kind, content) for item, content in zip(counted, contents, strict=True)]
            futures = _submit(embedder, asked, code)
            embeddings = await _results(futures, counted, settings.request_timeout)
    info = embedder.info
    tokens = [embedding.tokens.count if embedding.tokens else 0 for embedding in embeddings]
    truncated = [embedding.tokens is not None and embedding.tokens.truncated for embedding in embeddings]
    if not truncate and any(truncated):
        param = counted[truncated.index(True)].param
        raise InvalidInput(f"{param}: longer than the model's {info.context_length} tokens", param)
    timings = [embedding.timings for embedding in embeddings]
    stages = {stage: max(getattr(of_item, stage) for of_item in timings) for stage in STAGES if timings}
    rows = np.array([embedding.vector for embedding in embeddings], np.float32).reshape(-1, info.embed_dim)
    state = state_of(request)
    state.items, state.stages = len(counted), stages
    return Embedded(info, embeddings, rows, tokens, truncated, stages)


def _counted(items: Iterable[Item], settings: Settings) -> list[Item]:
    """Raises TooLarge at the first item that is one too many."""
    counted: list[Item] = []
    left: dict[Kind, int] = {"text": settings.max_texts, "image": settings.max_items}
    for item in items:
        if not left[item.kind]:
            limit = f"{settings.max_texts} texts in one request (MAX_TEXTS)"
            if item.kind == "image":
                limit = f"{settings.max_items} images in one request (MAX_ITEMS)"
            raise TooLarge(f"more than {limit}: send fewer at once")
        left[item.kind] -= 1
        counted.append(item)
    return counted


def _language(embedder: Embedder, given: str | None, must_know: bool) -> str | None:
    """Raises InvalidInput."""
    code = None if given is None else flores_code(given, embedder.languages)
    if given is not None and code is None and must_know:
        known = ", ".join(embedder.languages)
        remedy = f"expected one of {known}" if known else "this model reads all languages alike: leave it out"
        raise InvalidInput(f"language: {remedy}", "language")
    return code


def _submit(
    embedder: Embedder, items: Sequence[tuple[Kind, str | bytes]], language: str | None
) -> list[Future[Embedding]]:
    """Equal items share one future, so that their vectors are equal to the last bit: two rows of a batch, or of two
    batches, may differ in it."""
    unique = list(dict.fromkeys(items))
    futures = dict(zip(unique, embedder.submit_all(unique, language), strict=True))
    return [futures[item] for item in items]


def _check_fingerprint(request: Request, info: ModelInfo) -> None:
    """If-Match, RFC 9110 section 13.1.1: a client whose index is of one model does not want another model's vectors."""
    given = ",".join(request.headers.getlist("if-match"))
    tags = [tag.strip() for tag in given.split(",")]
    if given and not {"*", info.fingerprint, f'"{info.fingerprint}"'} & set(tags):
        raise ModelMismatch(f"If-Match: the model's fingerprint is {info.fingerprint}", "If-Match")


async def _results(futures: Sequence[Future[Embedding]], items: Sequence[Item], timeout: float) -> list[Embedding]:
    """Raises the first item's error under its name."""
    if not await _all_done(futures, timeout):
        raise DeadlineExceeded(f"no answer within {timeout:g} seconds")
    embeddings = []
    for item, future in zip(items, futures, strict=True):
        error = future.exception()
        if error is not None:
            raise error.renewed(item.param) if isinstance(error, RequestError) else error
        embeddings.append(future.result())
    return embeddings


async def _all_done(futures: Sequence[Future[Embedding]], timeout: float) -> bool:
    """Within the time. The last future wakes the event loop, not each; those that are left over are cancelled."""
    if all(future.done() for future in futures):
        return True
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[bool] = loop.create_future()
    finished, last = count(1), len(futures)  # the count's steps are atomic, and futures end in several threads

    def decide(is_done: bool) -> None:
        if not answer.done():
            answer.set_result(is_done)

    def ended(_: Future[Embedding]) -> None:
        if next(finished) == last:  # with `futures` itself there would be a cycle
            with suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(decide, True)

    timer = loop.call_later(timeout, decide, False)
    try:
        for future in futures:
            future.add_done_callback(ended)
        return await answer
    finally:
        timer.cancel()
        for future in futures:
            future.cancel()
