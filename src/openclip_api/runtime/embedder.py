"""Items → embeddings: inputs are prepared in a pool of threads, batched, and computed by one engine."""

from __future__ import annotations

import hashlib
import math
import time
from collections import Counter, deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..engines.base import Engine
from ..engines.cores import available_cores
from ..errors import SHORTAGE, Overloaded, RequestError
from ..inputs.images import ReadImage
from ..inputs.tokenizer import Tokenizer, Tokens
from .batching import Batcher, Computed, Job
from .coalescing import Coalescer, SharedComputation
from .embedding import Embedding, Kind, ModelInfo, Timings, Vector, unit_length
from .pixel_allowance import PixelAllowance
from .queue_space import QueueSpace
from .text_cache import TextCache
from .waiting import Ticket

# Of a request: to tokenize so little costs less than to hand it to another thread.
INLINE_TEXTS, INLINE_CHARACTERS = 8, 500
THREADS = available_cores()  # that prepare items

Input = NDArray[Any]  # pixels uint8 [size, size, 3], or ids int32 [context_length]


class UnusableVectors(RuntimeError):
    """The engine's answer has NaN or infinity in it, or another width than the model's."""


class Embedder:
    """One model, ready. Safe to use from several threads.

    max_batch: most items in one forward pass. max_queue: most items in flight at once; max_queue_bytes: most bytes
    that these may hold, as they came and as pixels or token ids. text_cache_bytes: most bytes of text embeddings to
    keep for when the same text comes again, 0 for none. max_pixels: most pixels of one image, from which follows how
    many all images of one call may have. decoders: how many images `read_image` can read at once; one call gets one
    fewer, so that the next one finds one free. on_close: called last by `close`.
    """

    def __init__(
        self,
        info: ModelInfo,
        engine: Engine,
        read_image: ReadImage,
        tokenizer: Tokenizer,
        *,
        max_batch: int = 16,
        max_queue: int = 4096,
        max_queue_bytes: int = 512_000_000,
        text_cache_bytes: int = 0,
        max_pixels: float = math.inf,
        decoders: int = THREADS + 1,
        on_close: Callable[[], None] = lambda: None,
    ) -> None:
        self.info = info
        self.queue = QueueSpace(max_queue, max_queue_bytes)
        self.text_cache = TextCache(text_cache_bytes)
        self.batches: Counter[tuple[Kind, int]] = Counter()  # forward passes by kind and number of items
        self._engine = engine
        self._read_image = read_image
        self._tokenizer = tokenizer
        self._on_close = on_close
        self._is_open = True
        self.languages: Sequence[str] = getattr(tokenizer, "languages", ())  # of texts; empty where it does not matter
        self._max_pixels = max_pixels
        # no text waits for an image to be decoded
        self._threads: dict[Kind, int] = {"image": decoders, "text": THREADS}
        self._pools = {kind: ThreadPoolExecutor(count, f"prepare {kind}") for kind, count in self._threads.items()}
        self._batcher: Batcher[Kind, Input, Vector] = Batcher(self._encode, max_batch)
        self._coalescer = Coalescer[Embedding]()
        self._prepared_bytes: dict[Kind, int] = {"image": info.image_size**2 * 3, "text": info.context_length * 4}

    def embed_images(self, images: Sequence[bytes], *, normalize: bool = False) -> NDArray[np.float32]:
        """Encoded images, in the formats that were chosen when the model was loaded → [N, embed_dim].

        Raises InvalidImage, TooLarge for the first image that cannot be read.
        """
        return self._embed("image", images, normalize)

    def embed_texts(self, texts: Sequence[str], *, normalize: bool = False) -> NDArray[np.float32]:
        """Strings → [N, embed_dim]; what goes beyond the context length is cut off."""
        return self._embed("text", texts, normalize)

    def submit_all(
        self, items: Sequence[tuple[Kind, str | bytes]], language: str | None = None
    ) -> list[Future[Embedding]]:
        """Start on ("text", string) and ("image", bytes) items, on all or on none. language: one of `languages`.

        Raises QueueFull, and TooLarge for what does not fit into an empty queue either. Images that have too many
        pixels together get TooLarge once that is known.
        """
        sizes = [self._size(kind, content) for kind, content in items]
        self.queue.reserve_all(sizes)
        return self._start(items, sizes, language=language)

    def submit_blocking(self, kind: Kind, content: str | bytes) -> Future[Embedding]:
        """Start on one item as soon as the queue has room for it: a caller with many items waits here."""
        size = self._size(kind, content)
        self.queue.reserve_when_free(size)
        return self._start([(kind, content)], [size], owner="blocking")[0]

    @property
    def busy_seconds(self) -> float:
        """How long the current batch has been running; 0 when the engine is idle."""
        return self._batcher.busy_seconds

    def close(self) -> None:
        """Finish what was submitted and release the engine's memory."""
        self._is_open = False
        for pool in self._pools.values():
            pool.shutdown()
        self._batcher.close()
        self._engine.close()
        self._on_close()

    def _embed(self, kind: Kind, contents: Sequence[str | bytes], normalize: bool) -> NDArray[np.float32]:
        futures = [self.submit_blocking(kind, content) for content in contents]
        try:
            vectors = [future.result().vector for future in futures]
        except Exception:
            for future in futures:
                future.cancel()
            raise
        stacked = np.array(vectors, np.float32).reshape(len(vectors), self.info.embed_dim)
        return unit_length(stacked) if normalize else stacked

    def _size(self, kind: Kind, content: str | bytes) -> int:
        return len(content) + self._prepared_bytes[kind]

    def _start(
        self,
        items: Sequence[tuple[Kind, str | bytes]],
        sizes: Sequence[int],
        owner: Hashable = None,
        language: str | None = None,
    ) -> list[Future[Embedding]]:
        """owner: whose items these are, by default nobody else's."""
        owner = owner or object()
        pixels = PixelAllowance(self._max_pixels, sum(len(content) for kind, content in items if kind == "image"))
        waiters: list[Future[Embedding]] = []
        left: dict[Kind, deque[_Unprepared]] = {"image": deque(), "text": deque()}
        for (kind, content), size in zip(items, sizes, strict=True):
            waiter = Future[Embedding]()
            waiter.add_done_callback(partial(self._release, size))
            waiters.append(waiter)
            if isinstance(content, str) and (kept := self.text_cache.get(content, language)) is not None:
                waiter.set_result(kept)
            else:
                ticket = self._batcher.announce(kind)
                left[kind].append(_Unprepared(content, language, waiter, ticket, owner, pixels))
        texts = left["text"]
        if len(texts) <= INLINE_TEXTS and sum(len(text.content) for text in texts) <= INLINE_CHARACTERS:
            while self._is_open and texts:
                self._prepare(texts.popleft())
        for kind, of_kind in left.items():
            most = self._threads[kind] - (kind == "image")
            for _ in range(min(len(of_kind), max(1, most))):
                if not self._prepare_later(kind, of_kind):
                    self._prepare_nothing(of_kind)
        return waiters

    def _release(self, size: int, _: Future[Embedding]) -> None:
        self.queue.release(size)

    def _prepare_later(self, kind: Kind, left: deque[_Unprepared]) -> bool:
        """False if the pool was closed in the meantime."""
        try:
            self._pools[kind].submit(self._prepare_next, kind, left)
        except RuntimeError:
            return False
        return True

    def _prepare_nothing(self, left: deque[_Unprepared]) -> None:
        while left:
            unprepared = left.popleft()
            self._batcher.withdraw(unprepared.ticket)
            unprepared.waiter.cancel()

    def _prepare_next(self, kind: Kind, left: deque[_Unprepared]) -> None:
        """In the pool: prepare one item, and let others come before the next one."""
        is_later = False
        while left and not is_later:
            try:
                unprepared = left.popleft()
            except IndexError:  # another thread took the last one
                return
            try:
                self._prepare(unprepared)
            finally:
                is_later = self._prepare_later(kind, left)

    def _prepare(self, unprepared: _Unprepared) -> None:
        """Make the engine's input and queue it, unless an equal item is in flight already."""
        content, _, waiter, ticket, owner, pixels = unprepared
        shared = None
        if isinstance(content, bytes) and not pixels.are_left:
            pixels.refuse(waiter)
        elif not waiter.cancelled():
            key = (unprepared.language, content) if isinstance(content, str) else hashlib.sha256(content).digest()
            shared = self._coalescer.join(key, waiter, owner)
        if shared is None:
            self._batcher.withdraw(ticket)
            return
        try:
            prepared = self._read(content, unprepared.language)
            if prepared.image_size is not None:
                pixels.take(math.prod(prepared.image_size))
        except Exception as error:
            self._batcher.withdraw(ticket)
            self._coalescer.fail(shared, _kept(error))
            return
        begin = partial(self._coalescer.run, shared)
        job: Job[Kind, Input, Vector] = Job(ticket.key, prepared.input, begin, lambda: shared.owner)
        job.future.add_done_callback(partial(self._deliver, shared, prepared))
        if self._coalescer.queue(shared, job.future.cancel):
            self._batcher.put(job, ticket)
        else:
            self._batcher.withdraw(ticket)

    def _read(self, content: str | bytes, language: str | None) -> _Prepared:
        started = time.perf_counter()
        if isinstance(content, str):
            tokens = self._tokenizer(content) if language is None else self._tokenizer(content, language)
            seconds = time.perf_counter() - started
            return _Prepared(tokens.ids, seconds, text=content, language=language, tokens=tokens)
        image = self._read_image(content)
        size = (image.width, image.height)
        return _Prepared(image.pixels, time.perf_counter() - started, image_size=size)

    def _deliver(
        self, shared: SharedComputation[Embedding], prepared: _Prepared, computed: Future[Computed[Vector]]
    ) -> None:
        """In the batcher's thread, once the job is done."""
        if computed.cancelled():
            return
        if (error := computed.exception()) is not None:
            self._coalescer.fail(shared, error)
            return
        result = computed.result()
        timings = Timings(prepared.seconds, result.queue_seconds, result.compute_seconds)
        embedding = Embedding(result.output, prepared.tokens, prepared.image_size, timings)
        if prepared.text is not None:
            self.text_cache.put(prepared.text, embedding, prepared.language)
        self._coalescer.finish(shared, embedding)

    def _encode(self, kind: Kind, inputs: list[Input]) -> list[Vector]:
        self.batches[kind, len(inputs)] += 1
        encode = self._engine.encode_images if kind == "image" else self._engine.encode_texts
        vectors = encode(np.stack(inputs))
        if vectors.shape[1:] != (self.info.embed_dim,) or not np.isfinite(vectors).all():
            raise UnusableVectors(f"the engine gave vectors of shape {vectors.shape}, some perhaps not finite")
        return list(vectors)


def _kept(error: Exception) -> Exception:
    """The error for the futures that wait. A RequestError is renewed: 60 refused images of 20 MB kept 1 GB."""
    if isinstance(error, MemoryError):
        return Overloaded(SHORTAGE)
    return error.renewed() if isinstance(error, RequestError) else error


class _Unprepared(NamedTuple):
    content: str | bytes
    language: str | None
    waiter: Future[Embedding]
    ticket: Ticket[Kind]
    owner: Hashable
    pixels: PixelAllowance


class _Prepared(NamedTuple):
    """The engine's input, and what the embedding will tell of the item."""

    input: Input
    seconds: float
    text: str | None = None
    language: str | None = None
    tokens: Tokens | None = None
    image_size: tuple[int, int] | None = None
