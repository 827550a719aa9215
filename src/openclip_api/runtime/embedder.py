"""Images and texts → vectors: preprocessing in a pool, batching, one engine.

What is on its way is not computed a second time, and texts may be kept for when they come again.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..engines.base import Engine
from ..errors import QueueFull, TooLarge
from ..inputs.images import Preprocess
from ..inputs.tokenizer import Tokenizer
from .batching import Batcher, Job
from .coalescing import Underway, hand_on
from .text_cache import TextCache

Vector = NDArray[np.float32]  # [embed_dim]

Kind = Literal["image", "text"]
Content = tuple[Hashable, str | bytes]  # "text" and the string, or "image" and a digest of its bytes

# A forward pass reads all weights, however little it computes with them: on processors from AVX2 to AMX that
# takes as long as some 25 to 40 tokens. So much padding in a batch of texts is cheaper than a second batch.
SPARE_TOKENS = 32


@dataclass(frozen=True)
class ModelInfo:
    """What a client may want to know of the model that answers it.

    logit_scale is the factor on cosines before a softmax or sigmoid (the exponential of the
    checkpoint's tensor), logit_bias what is then added; None where the model has none.
    """

    model_id: str
    name: str
    tag: str | None
    fingerprint: str
    embed_dim: int
    image_size: int
    context_length: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: str
    resize_mode: str
    precision: str
    engine: str
    device: str
    logit_scale: float | None
    logit_bias: float | None


class UnusableVectors(RuntimeError):
    """The engine's answer has NaN or infinity in it, or another width than the model's."""


class Embedder:
    """One model, ready. Safe to use from several threads.

    max_batch: most items in one forward pass. max_queue: most items on their way at once;
    max_queue_bytes: most bytes that these may hold, as they came and as pixels or token ids.
    text_cache_bytes: most bytes of text vectors to keep for when the same text comes again, 0 for none.
    """

    def __init__(
        self,
        info: ModelInfo,
        engine: Engine,
        preprocess: Preprocess,
        tokenizer: Tokenizer,
        *,
        max_batch: int = 16,
        max_queue: int = 1024,
        max_queue_bytes: int = 512_000_000,
        text_cache_bytes: int = 0,
        on_close: Callable[[], None] | None = None,
    ) -> None:
        self.info = info
        self.max_queue = max_queue
        self.max_queue_bytes = max_queue_bytes
        self._engine = engine
        self._on_close = on_close
        self._prepare: dict[Hashable, Callable[[Any], Any]] = {"image": preprocess, "text": tokenizer}
        self._pool = ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="preprocess")
        self._batcher: Batcher[Any, Vector] = Batcher(self._encode, max_batch, SPARE_TOKENS)
        self.text_cache = TextCache(text_cache_bytes)
        self._alike: Underway[Vector] = Underway()
        self._prepared_bytes = {"image": info.image_size**2 * 3, "text": info.context_length * 4}
        self._places = threading.Condition()
        self._underway = 0
        self._underway_bytes = 0
        self.batches: Counter[tuple[str, int]] = Counter()  # how often the engine was given so many of a kind

    def embed_images(self, images: Sequence[bytes], *, normalize: bool = False) -> NDArray[np.float32]:
        """Encoded images (JPEG, PNG, WebP, GIF, BMP) → [N, embed_dim].

        Raises InvalidImage, TooLarge for the first image that cannot be read.
        """
        return self._embed("image", images, normalize)

    def embed_texts(self, texts: Sequence[str], *, normalize: bool = False) -> NDArray[np.float32]:
        """Strings → [N, embed_dim]; what goes beyond the context length is cut off."""
        return self._embed("text", texts, normalize)

    def submit(self, items: Sequence[tuple[Kind, str | bytes]]) -> list[Job[Vector]]:
        """Start on ("text", string) and ("image", bytes) items; each job's future gives its vector,
        and then the `item` of a text's job is its Tokens.

        All or none are taken. Raises QueueFull, and TooLarge for what no empty queue holds either.
        """
        sizes = [self._size(kind, content) for kind, content in items]
        if len(items) > self.max_queue or sum(sizes) > self.max_queue_bytes:
            raise TooLarge(
                f"the request is larger than the whole queue ({self.max_queue} items, "
                f"{self.max_queue_bytes / 1e6:g} MB): send fewer items at once"
            )
        with self._places:
            if self._underway + len(items) > self.max_queue:
                raise QueueFull(f"{self._underway} items are waiting, at most {self.max_queue} may: try again shortly")
            if self._underway_bytes + sum(sizes) > self.max_queue_bytes:
                raise QueueFull(f"what waits fills {self.max_queue_bytes / 1e6:g} MB: try again shortly")
            self._underway += len(items)
            self._underway_bytes += sum(sizes)
        return [self._start(kind, content, size) for (kind, content), size in zip(items, sizes, strict=True)]

    def start(self, kind: Kind, content: str | bytes) -> Job[Vector]:
        """As submit, for one item; a caller with many waits here for a place, so that memory stays bounded."""
        size = self._size(kind, content)
        with self._places:
            self._places.wait_for(partial(self._has_place, size))
            self._underway += 1
            self._underway_bytes += size
        return self._start(kind, content, size)

    @property
    def queue_items(self) -> int:
        """How many items are on their way."""
        return self._underway

    @property
    def queue_bytes(self) -> int:
        """How many bytes these hold."""
        return self._underway_bytes

    @property
    def busy_seconds(self) -> float:
        """How long the engine has been at one batch; 0 when it is idle."""
        return self._batcher.busy_seconds

    def close(self) -> None:
        """Finish what was submitted and release the engine's memory."""
        self._pool.shutdown()
        self._batcher.close()
        self._engine.close()
        if self._on_close is not None:
            self._on_close()

    def _embed(self, kind: Kind, items: Sequence[Any], normalize: bool) -> NDArray[np.float32]:
        jobs = [self.start(kind, item) for item in items]
        try:
            vectors = [job.future.result() for job in jobs]
        except Exception:
            for job in jobs:
                job.future.cancel()
            raise
        stacked = np.array(vectors, np.float32).reshape(len(vectors), self.info.embed_dim)
        return unit_length(stacked) if normalize else stacked

    def _size(self, kind: Kind, content: str | bytes) -> int:
        return len(content) + self._prepared_bytes[kind]

    def _has_place(self, size: int) -> bool:
        room = self._underway < self.max_queue and self._underway_bytes + size <= self.max_queue_bytes
        return room or self._underway == 0

    def _start(self, kind: Kind, item: Any, size: int) -> Job[Vector]:
        job: Job[Vector] = Job(kind)
        job.future.add_done_callback(lambda _: self._done(size))
        known = self.text_cache.get(item) if kind == "text" else None
        if known is None:
            self._submit(job, item)
            return job
        job.item, vector = known
        job.seconds = dict.fromkeys(("decode", "queue", "compute"), 0.0)
        job.future.set_result(vector)
        return job

    def _done(self, size: int) -> None:
        with self._places:
            self._underway -= 1
            self._underway_bytes -= size
            self._places.notify_all()

    def _prepare_job(self, job: Job[Vector], item: Any) -> None:
        """In the pool: decode or tokenize, unless the same item is on its way already; then wait for that one."""
        if job.future.cancelled():
            return
        content = (job.key, item if job.key == "text" else hashlib.sha256(item).digest())
        if not self._alike.join(content, job):
            self._batcher.dismiss(job)
            return
        held = [item]  # a future keeps its callbacks, in a circle with its job: they must not keep the bytes as well
        job.future.add_done_callback(lambda _: self._share(content, job, held.pop()))
        started = time.perf_counter()
        try:
            job.item = self._prepare[job.key](item)
            if job.key == "text" and self._engine.trims_texts:
                job.size = job.item.count
        except Exception as error:
            # a future cancelled in the meantime takes no result
            if job.future.set_running_or_notify_cancel():
                job.future.set_exception(error)
            return
        job.seconds["decode"] = time.perf_counter() - started
        self._batcher.put(job)

    def _share(self, content: Content, first: Job[Vector], item: Any) -> None:
        """Hand on what the first job got. Was it given up, the next one takes its place."""
        followers = self._alike.end(content)
        if first.future.cancelled():
            for job in followers:
                self._submit(job, item)
            return
        if first.key == "image":
            first.item = None  # nor the pixels
        elif first.future.exception() is None:
            self.text_cache.put(item, first.item, first.future.result())
        hand_on(first, followers)

    def _submit(self, job: Job[Vector], item: Any) -> None:
        self._batcher.expect(job)
        try:
            self._pool.submit(self._prepare_job, job, item)
        except RuntimeError:  # closed in the meantime
            job.future.cancel()

    def _encode(self, kind: Hashable, items: list[Any]) -> list[Vector]:
        self.batches[str(kind), len(items)] += 1
        if kind == "image":
            vectors = self._engine.encode_images(np.stack(items))
        else:
            vectors = self._engine.encode_texts(np.stack([tokens.ids for tokens in items]))
        if vectors.shape[1:] != (self.info.embed_dim,) or not np.isfinite(vectors).all():
            raise UnusableVectors(f"the engine gave vectors of shape {vectors.shape}, some perhaps not finite")
        return list(vectors)


def unit_length(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """[N, E] → [N, E] with each row's L2 norm 1; a zero row stays zero."""
    norms = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.maximum(norms, np.finfo(np.float32).tiny), np.float32)
