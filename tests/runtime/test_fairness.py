"""Who sends thousands of items does not keep others waiting, and is not kept waiting for ever either."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator

import numpy as np
import pytest

from openclip_api.inputs.images import Decoded
from openclip_api.inputs.tokenizer import Tokens
from openclip_api.runtime.embedder import Embedder
from openclip_api.runtime.embedding import ModelInfo

INFO = ModelInfo(
    "m", "m", None, "0" * 16, 1, 1, 1, "gelu", (0,) * 3, (1,) * 3, "", "", "fp32", "fake", "cpu", None, None
)
BATCH = 16
MANY = 2048


class Engine:
    """Remembers its batches, and waits at the gate before each."""

    precision = "fp32"

    def __init__(self) -> None:
        self.gate = threading.Semaphore(0)
        self.batches: list[list[int]] = []

    def encode_texts(self, ids):
        return self._encode(ids[:, 0])

    def encode_images(self, pixels):
        return self._encode(pixels.reshape(len(pixels), -1)[:, 0].astype(np.int32))

    def _encode(self, numbers):
        assert self.gate.acquire(timeout=20)
        self.batches.append(numbers.tolist())
        return numbers[:, None].astype(np.float32)

    def close(self):
        pass

    def batch_of(self, number: int) -> int:
        return next(index for index, batch in enumerate(self.batches) if number in batch)


@pytest.fixture
def engine() -> Engine:
    return Engine()


@pytest.fixture
def embedder(engine: Engine) -> Iterator[Embedder]:
    def tokenize(text: str) -> Tokens:
        number = int(text)
        return Tokens(np.array([number], np.int32), 3 + number % 9, False)

    def read(data: bytes) -> Decoded:
        return Decoded(np.full((1, 1, 3), data[0], np.uint8), 1, 1)

    embedder = Embedder(INFO, engine, read, tokenize, max_batch=BATCH)
    yield embedder
    for _ in range(10_000):
        engine.gate.release()
    embedder.close()


def texts(first: int, count: int = 1) -> list[tuple[str, str]]:
    return [("text", str(first + i)) for i in range(count)]


def all_queued(embedder: Embedder, count: int) -> None:
    deadline = threading.Event()
    for _ in range(2000):
        if len(embedder._batcher._waiting) >= count:
            return
        deadline.wait(0.01)
    raise AssertionError(len(embedder._batcher._waiting))


def let_through(engine: Engine, futures: list) -> None:
    while not all(future.done() for future in futures):
        engine.gate.release()
        threading.Event().wait(0.002)


def test_one_text_does_not_wait_for_2048(embedder: Embedder, engine: Engine):
    many = embedder.submit_all(texts(1000, MANY))
    all_queued(embedder, MANY - BATCH)
    [one] = embedder.submit_all(texts(5))
    all_queued(embedder, MANY - BATCH + 1)
    let_through(engine, [one, *many])
    assert engine.batch_of(5) <= 3
    assert [int(future.result().vector[0]) for future in many] == list(range(1000, 1000 + MANY))


def test_nor_does_an_image(embedder: Embedder, engine: Engine):
    many = embedder.submit_all(texts(1000, MANY))
    all_queued(embedder, MANY - BATCH)
    [one] = embedder.submit_all([("image", b"\x05")])
    all_queued(embedder, MANY - BATCH + 1)
    let_through(engine, [one, *many])
    assert engine.batch_of(5) <= 3


def test_nor_does_a_text_that_is_also_one_of_the_2048(embedder: Embedder, engine: Engine):
    many = embedder.submit_all(texts(1000, MANY))
    while len(embedder._coalescer._in_flight) < MANY:  # the first batch may be a small one
        threading.Event().wait(0.005)
    last = 1000 + MANY - 1
    [one] = embedder.submit_all(texts(last))
    while len(embedder._coalescer._in_flight[None, str(last)].waiters) < 2:
        threading.Event().wait(0.005)
    let_through(engine, [one, *many])
    assert engine.batch_of(last) <= 3


def test_small_requests_without_end_do_not_starve_a_large_one(embedder: Embedder, engine: Engine):
    """Each batch is followed by as many new requests of one text as fit into a batch."""
    many = embedder.submit_all(texts(10_000, 256))
    all_queued(embedder, 256 - BATCH)
    number, small = 0, []
    while not all(future.done() for future in many):
        for _ in range(BATCH):
            number += 1
            small += embedder.submit_all(texts(number))
        done = len(engine.batches)
        engine.gate.release()
        while len(engine.batches) == done:
            threading.Event().wait(0.002)
        assert len(engine.batches) < 100
    shares = Counter(number >= 10_000 for batch in engine.batches for number in batch)
    assert shares[False] > 100  # and the small ones went on meanwhile
    let_through(engine, small)


def test_two_large_requests_share_what_goes_by_turns(embedder: Embedder, engine: Engine):
    first = embedder.submit_all(texts(1000, 512))
    all_queued(embedder, 512 - BATCH)
    second = embedder.submit_all(texts(5000, 512))
    all_queued(embedder, 1024 - BATCH)
    let_through(engine, [*first, *second])
    half = engine.batches[: len(engine.batches) // 2]
    assert sum(number >= 5000 for batch in half for number in batch) > 60


def test_preparing_takes_turns_too(engine: Engine):
    """Slow to decode: 100 images of one request, then one text."""
    gate, read_images = threading.Semaphore(0), []

    def read(data: bytes) -> Decoded:
        assert gate.acquire(timeout=20)
        read_images.append(data)
        return Decoded(np.full((1, 1, 3), data[0], np.uint8), 1, 1)

    embedder = Embedder(INFO, engine, read, lambda text: Tokens(np.array([1], np.int32), 1, False), max_batch=BATCH)
    images = embedder.submit_all([("image", bytes([i])) for i in range(100)])
    [text] = embedder.submit_all(texts(1))
    for _ in range(1000):
        engine.gate.release()
    for _ in range(20):
        gate.release()
    assert text.result(10).vector[0] == 1
    assert len(read_images) <= 20
    for _ in range(100):
        gate.release()
    assert [int(image.result(10).vector[0]) for image in images] == list(range(100))
    embedder.close()
