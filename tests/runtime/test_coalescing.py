"""Alike items on their way are computed once; texts that come again may be kept."""

from __future__ import annotations

import time
from concurrent.futures import wait

import numpy as np
import pytest

from openclip_api.errors import InvalidImage
from openclip_api.inputs.tokenizer import Tokens
from openclip_api.runtime.embedder import Embedder

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

    def preprocess(self, data: bytes):
        self.read.append(data)
        if data == b"bad":
            raise InvalidImage("bad")
        return np.frombuffer(data, np.uint8).reshape(1, 1, 3)

    def tokenize(self, text: str) -> Tokens:
        self.tokenized.append(text)
        return Tokens(np.array([len(text)], np.int32), 1, False)

    def embedder(self, **options) -> Embedder:
        return Embedder(INFO, self.engine, self.preprocess, self.tokenize, **options)


def wait_for_followers(embedder: Embedder, count: int) -> None:
    """Until so many jobs wait for another with the same content."""
    deadline = time.monotonic() + 10
    while sum(map(len, embedder._alike._followers.values())) != count:
        assert time.monotonic() < deadline
        time.sleep(0.002)


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
    jobs = [job for _ in range(20) for job in embedder.submit([("text", "sofa"), ("text", "chair")])]
    wait_for_followers(embedder, 38)
    counting.engine.gate.set()
    vectors = np.stack([job.future.result(10) for job in jobs])
    np.testing.assert_array_equal(vectors[:, 0], [4, 5] * 20)
    assert sorted(counting.tokenized) == ["chair", "sofa"]
    assert all(job.item.count == 1 and set(job.seconds) == {"decode", "queue", "compute"} for job in jobs)
    assert embedder.queue_items == embedder.queue_bytes == 0


def test_once_answered_it_is_computed_anew(counting, embedder):
    for _ in range(3):
        embedder.embed_texts(["sofa"])
    assert counting.tokenized == ["sofa"] * 3


def test_images_are_told_apart_by_their_bytes_and_share_their_error(counting, embedder):
    counting.engine.gate.clear()
    images = [b"\1\2\3", b"\1\2\4", b"bad", b"\1\2\3"]
    jobs = embedder.submit([("image", image) for image in images])
    wait_for_followers(embedder, 1)
    counting.engine.gate.set()
    wait([job.future for job in jobs], 10)
    assert [job.future.result()[2] for job in (jobs[0], jobs[1], jobs[3])] == [3, 4, 3]
    with pytest.raises(InvalidImage):
        jobs[2].future.result()
    assert sorted(counting.read) == [b"\1\2\3", b"\1\2\4", b"bad"]


def test_who_gives_up_does_not_take_the_others_along(counting, embedder):
    counting.engine.gate.clear()
    hold = embedder.submit([("text", "holds the engine")])[0]
    jobs = [embedder.submit([("text", "sofa")])[0] for _ in range(4)]
    wait_for_followers(embedder, 3)
    first = next(job for job in jobs if not any(job in alike for alike in embedder._alike._followers.values()))
    first.future.cancel()  # in vain where the engine has it already
    assert next(job for job in jobs if job is not first).future.cancel()
    counting.engine.gate.set()
    kept = [hold, *(job for job in jobs if not job.future.cancelled())]
    assert [job.future.result(10)[0] for job in kept] == [16] + [4] * (len(kept) - 1)
    assert len(kept) in (3, 4)
    assert embedder.queue_items == embedder.queue_bytes == 0


def test_a_kept_text_is_not_computed_again(counting):
    embedder = counting.embedder(text_cache_bytes=10_000)
    first = embedder.submit([("text", "sofa")])[0]
    wait([first.future], 10)
    embedder.embed_texts(["chair"])  # once it is answered, the first is kept
    again = embedder.submit([("text", "sofa")])[0]
    assert again.future.done()
    np.testing.assert_array_equal(again.future.result(), first.future.result())
    assert again.item.count == 1
    assert set(again.seconds) == {"decode", "queue", "compute"}
    assert sorted(counting.tokenized) == ["chair", "sofa"]
    assert embedder.queue_items == 0
    embedder.close()
