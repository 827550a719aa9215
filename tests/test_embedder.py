from __future__ import annotations

import threading

import numpy as np
import pytest

import openclip_api
from openclip_api.embedder import Embedder, ModelInfo, unit_length
from openclip_api.errors import InvalidImage, InvalidSetting, QueueFull

from .conftest import Encode

INFO = ModelInfo("m", "m", None, "0" * 16, 3, 1, 1, (0,) * 3, (1,) * 3, "", "", "fp32", "fake", "cpu", None, None)


class FakeEngine:
    """A text's vector is its first token three times; an image's is its first pixel."""

    precision = "fp32"

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.closed = False

    def encode_images(self, pixels):
        return pixels.reshape(len(pixels), -1)[:, :3].astype(np.float32)

    def encode_texts(self, ids):
        assert self.gate.wait(10)
        return np.repeat(ids[:, :1], 3, axis=1).astype(np.float32)

    def close(self):
        self.closed = True


@pytest.fixture
def engine():
    return FakeEngine()


@pytest.fixture
def embedder(engine):
    def read_pixels(data: bytes):
        if data == b"bad":
            raise InvalidImage("bad")
        return np.frombuffer(data, np.uint8).reshape(1, 1, 3)

    embedder = Embedder(INFO, engine, read_pixels, lambda text: np.array([len(text)], np.int32), max_queue=4)
    yield embedder
    engine.gate.set()
    embedder.close()


def test_more_items_than_the_queue_holds_keep_their_order(embedder):
    texts = ["x" * n for n in range(11)]
    np.testing.assert_array_equal(embedder.embed_texts(texts)[:, 0], range(11))


def test_no_items_give_no_rows(embedder):
    assert embedder.embed_texts([]).shape == (0, 3)


def test_the_queue_takes_all_of_a_request_or_none(embedder, engine):
    engine.gate.clear()
    jobs = embedder.submit([("text", "a"), ("text", "b"), ("text", "c")])
    with pytest.raises(QueueFull):
        embedder.submit([("text", "d"), ("image", b"abc")])
    engine.gate.set()
    assert [job.future.result(10)[0] for job in jobs] == [1, 1, 1]
    assert len(embedder.submit([("text", "d"), ("image", b"abc")])) == 2


def test_cancelled_and_failed_jobs_free_their_places(embedder, engine):
    engine.gate.clear()
    for job in embedder.submit([("text", text) for text in "abcd"]):
        job.future.cancel()
    engine.gate.set()
    for _ in range(5):
        with pytest.raises(InvalidImage):
            embedder.embed_images([b"bad"] * 4)
    np.testing.assert_array_equal(embedder.embed_images([b"\1\2\3"]), [[1, 2, 3]])


def test_mixed_items_keep_their_order(embedder):
    jobs = embedder.submit([("text", "abcd"), ("image", b"\1\2\3")])
    np.testing.assert_array_equal(np.stack([job.future.result(10) for job in jobs]), [[4, 4, 4], [1, 2, 3]])


def test_close_closes_the_engine(embedder, engine):
    embedder.close()
    assert engine.closed


def test_unit_length_leaves_zero_alone():
    vectors = np.array([[3, 4], [0, 0]], np.float32)
    np.testing.assert_allclose(unit_length(vectors), [[0.6, 0.8], [0, 0]])
    assert unit_length(vectors).dtype == np.float32


def test_the_public_face_loads_a_folder(tiny, photo: Encode):
    embedder = openclip_api.load(f"local-dir:{tiny}", precision="fp32")
    images = embedder.embed_images([photo(), photo("coffee")], normalize=True)
    assert images.shape == (2, embedder.info.embed_dim)
    np.testing.assert_allclose(np.linalg.norm(images, axis=1), 1, atol=1e-6)
    assert not np.allclose(images[0], images[1])
    embedder.close()


def test_a_batch_gives_what_single_items_give(tiny):
    embedder = openclip_api.load(f"local-dir:{tiny}", precision="fp32")
    texts = [f"{'word ' * n}" for n in range(20)]
    together = embedder.embed_texts(texts)
    np.testing.assert_allclose(together, np.concatenate([embedder.embed_texts([t]) for t in texts]), atol=1e-5)
    embedder.close()


def test_an_unknown_precision_is_refused(tiny):
    with pytest.raises(InvalidSetting, match="PRECISION"):
        openclip_api.load(f"local-dir:{tiny}", precision="fp64")
