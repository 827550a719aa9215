"""Equal items in flight are computed once; texts that come again may be kept."""

from __future__ import annotations

import time
from concurrent.futures import Future, wait

import numpy as np
import pytest

from openclip_api.errors import InvalidImage
from openclip_api.inputs.images import Decoded
from openclip_api.inputs.tokenizer import Tokens
from openclip_api.runtime.embedder import Embedder
from openclip_api.runtime.embedding import Embedding, Timings

from .test_embedder import INFO, FakeEngine


class GatedEngine(FakeEngine):
    """Its gate holds images too."""

    def encode_images(self, pixels):
        assert self.gate.wait(10)
        return super().encode_images(pixels)


class Counting:
    """An engine and a reader of images that note what they were given; a text's vector is its length."""

    def __init__(self) -> None:
        self.engine = GatedEngine()
        self.read: list[bytes] = []
        self.tokenized: list[str] = []

    def read_image(self, data: bytes):
        self.read.append(data)
        if data == b"bad":
            raise InvalidImage("bad")
        return Decoded(np.frombuffer(data, np.uint8).reshape(1, 1, 3), 640, 480)

    def tokenize(self, text: str) -> Tokens:
        self.tokenized.append(text)
        return Tokens(np.array([len(text)], np.int32), 1, False)

    def embedder(self, **options) -> Embedder:
        return Embedder(INFO, self.engine, self.read_image, self.tokenize, **options)


def wait_for_waiters(embedder: Embedder, count: int) -> None:
    """Until so many futures wait for a computation in flight."""
    deadline = time.monotonic() + 10
    while sum(len(shared.waiters) for shared in embedder._coalescer._in_flight.values()) != count:
        assert time.monotonic() < deadline
        time.sleep(0.002)


def hold_engine(embedder: Embedder) -> Future[Embedding]:
    """Its gate is closed: the engine has this text until the gate opens."""
    future = embedder.submit_all([("text", "holds the engine")])[0]
    deadline = time.monotonic() + 10
    while not future.running():
        assert time.monotonic() < deadline
        time.sleep(0.002)
    return future


@pytest.fixture
def counting():
    return Counting()


@pytest.fixture
def embedder(counting):
    embedder = counting.embedder()
    yield embedder
    counting.engine.gate.set()
    embedder.close()


def test_the_same_text_from_many_is_computed_once(counting, embedder):
    counting.engine.gate.clear()
    futures = [future for _ in range(20) for future in embedder.submit_all([("text", "sofa"), ("text", "chair")])]
    wait_for_waiters(embedder, 40)
    counting.engine.gate.set()
    embeddings = [future.result(10) for future in futures]
    np.testing.assert_array_equal([embedding.vector[0] for embedding in embeddings], [4, 5] * 20)
    assert sorted(counting.tokenized) == ["chair", "sofa"]
    assert all(embedding.tokens.count == 1 and embedding.image_size is None for embedding in embeddings)
    assert embedder.queue.items == embedder.queue.bytes == 0


def test_once_answered_it_is_computed_anew(counting, embedder):
    for _ in range(3):
        embedder.embed_texts(["sofa"])
    assert counting.tokenized == ["sofa"] * 3


def test_images_are_told_apart_by_their_bytes_and_share_their_error(counting, embedder):
    counting.engine.gate.clear()
    images = [b"\1\2\3", b"\1\2\4", b"bad", b"\1\2\3"]
    futures = embedder.submit_all([("image", image) for image in images])
    wait_for_waiters(embedder, 3)
    counting.engine.gate.set()
    wait(futures, 10)
    embeddings = [futures[index].result() for index in (0, 1, 3)]
    assert [embedding.vector[2] for embedding in embeddings] == [3, 4, 3]
    assert all(embedding.image_size == (640, 480) and embedding.tokens is None for embedding in embeddings)
    with pytest.raises(InvalidImage):
        futures[2].result()
    assert sorted(counting.read) == [b"\1\2\3", b"\1\2\4", b"bad"]


@pytest.mark.parametrize("leaves", range(4))
def test_a_waiter_that_gives_up_does_not_stop_the_others(counting, embedder, leaves: int):
    counting.engine.gate.clear()
    hold = hold_engine(embedder)
    futures = [embedder.submit_all([("text", "sofa")])[0] for _ in range(4)]
    wait_for_waiters(embedder, 5)
    assert futures.pop(leaves).cancel()
    counting.engine.gate.set()
    assert [future.result(10).vector[0] for future in [hold, *futures]] == [16, 4, 4, 4]
    assert sorted(counting.tokenized) == ["holds the engine", "sofa"]
    assert embedder.queue.items == embedder.queue.bytes == 0


def test_when_all_give_up_nothing_is_computed(counting, embedder):
    counting.engine.gate.clear()
    hold = hold_engine(embedder)
    futures = [embedder.submit_all([("text", "sofa")])[0] for _ in range(4)]
    wait_for_waiters(embedder, 5)
    assert all(future.cancel() for future in futures)
    wait_for_waiters(embedder, 1)
    counting.engine.gate.set()
    assert hold.result(10).vector[0] == 16
    assert embedder.embed_texts(["sofa"])[0, 0] == 4  # anew
    assert embedder.batches == {("text", 1): 2}
    assert embedder.queue.items == embedder.queue.bytes == 0


def test_a_kept_text_is_not_computed_again(counting):
    embedder = counting.embedder(text_cache_bytes=10_000)
    first = embedder.submit_all([("text", "sofa")])[0].result(10)
    again = embedder.submit_all([("text", "sofa")])[0]
    assert again.done()
    np.testing.assert_array_equal(again.result().vector, first.vector)
    assert again.result().tokens.count == 1
    assert again.result().timings == Timings(0, 0, 0)
    assert counting.tokenized == ["sofa"]
    assert embedder.queue.items == 0
    embedder.close()


def test_what_the_engine_has_counts_until_it_is_done(counting, embedder):
    counting.engine.gate.clear()
    hold = hold_engine(embedder)
    late = embedder.submit_all([("text", "holds the engine")])[0]
    wait_for_waiters(embedder, 2)
    assert not hold.cancel()
    assert not late.cancel()
    assert embedder.queue.items == 2
    counting.engine.gate.set()
    assert hold.result(10) is late.result(10)
    assert embedder.queue.items == 0
