from __future__ import annotations

import gc
import json
import sys
import threading
from pathlib import Path

import numpy as np
import openvino as ov
import pytest
from safetensors.numpy import save_file

import openclip_api
from openclip_api.errors import FailedSelfCheck, InvalidImage, InvalidSetting, QueueFull, TooLarge
from openclip_api.inputs.images import Decoded
from openclip_api.inputs.tokenizer import Tokens
from openclip_api.runtime.embedder import Embedder, UnusableVectors
from openclip_api.runtime.embedding import ModelInfo, unit_length
from openclip_api.runtime.loader import check_vectors

from ..conftest import Encode
from ..support.tiny_checkpoint import CONFIG, tiny_weights, write_tiny_checkpoint

INFO = ModelInfo(
    "m", "m", None, "0" * 16, 3, 1, 1, "gelu", (0,) * 3, (1,) * 3, "", "", "fp32", "fake", "cpu", None, None
)


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
        vectors = np.repeat(ids[:, :1], 3, axis=1).astype(np.float32)
        vectors[ids[:, 0] == 13] = np.nan
        return vectors

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
        return Decoded(np.frombuffer(data, np.uint8).reshape(1, 1, 3), 640, 480)

    embedder = Embedder(
        INFO, engine, read_pixels, lambda text: Tokens(np.array([len(text)], np.int32), 1, False), max_queue=4
    )
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
    futures = embedder.submit_all([("text", "a"), ("text", "b"), ("text", "c")])
    with pytest.raises(QueueFull):
        embedder.submit_all([("text", "d"), ("image", b"abc")])
    engine.gate.set()
    assert [future.result(10).vector[0] for future in futures] == [1, 1, 1]
    assert len(embedder.submit_all([("text", "d"), ("image", b"abc")])) == 2


def test_the_queue_is_bounded_by_bytes_too(engine):
    embedder = Embedder(
        INFO, engine, lambda data: None, lambda text: Tokens(np.array([1], np.int32), 1, False), max_queue_bytes=100
    )
    engine.gate.clear()
    futures = embedder.submit_all([("text", "x" * 86)])  # and 4 bytes for its one token id
    assert (embedder.queue.items, embedder.queue.bytes) == (1, 90)
    with pytest.raises(QueueFull):
        embedder.submit_all([("text", "x" * 7)])
    futures += embedder.submit_all([("text", "x" * 6)])
    with pytest.raises(TooLarge):
        embedder.submit_all([("text", "x" * 97)])
    engine.gate.set()
    for future in futures:
        future.result(10)
    assert len(embedder.embed_texts(["x" * 96] * 3)) == 3  # one waits for the other
    embedder.close()
    assert (embedder.queue.items, embedder.queue.bytes) == (0, 0)


def test_a_request_larger_than_the_queue_is_told_so(embedder):
    with pytest.raises(TooLarge):
        embedder.submit_all([("text", "a")] * 5)


def test_a_vector_with_nan_fails_its_item_alone(embedder, engine):
    engine.gate.clear()
    first, second, third = embedder.submit_all([("text", "x"), ("text", "x" * 13), ("text", "xxx")])
    engine.gate.set()
    with pytest.raises(UnusableVectors):
        second.result(10)
    assert (first.result(10).vector[0], third.result(10).vector[0]) == (1, 3)


def test_cancelled_and_failed_futures_free_their_places(embedder, engine):
    engine.gate.clear()
    for future in embedder.submit_all([("text", text) for text in "abcd"]):
        future.cancel()
    engine.gate.set()
    for _ in range(5):
        with pytest.raises(InvalidImage):
            embedder.embed_images([b"bad"] * 4)
    np.testing.assert_array_equal(embedder.embed_images([b"\1\2\3"]), [[1, 2, 3]])


def test_mixed_items_keep_their_order(embedder):
    futures = embedder.submit_all([("text", "abcd"), ("image", b"\1\2\3")])
    np.testing.assert_array_equal(np.stack([future.result(10).vector for future in futures]), [[4, 4, 4], [1, 2, 3]])


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


HAS_BF16 = "BF16" in ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
BF16 = pytest.param("bf16", marks=[pytest.mark.slow, pytest.mark.skipif(not HAS_BF16, reason="no bf16")])
PRECISIONS = ["fp32", BF16]


def with_weight(folder: Path, key: str, value: float) -> str:
    """A folder whose tensor `key` is `value` all over."""
    weights = tiny_weights()
    weights[key][:] = value
    write_tiny_checkpoint(folder)
    save_file(weights, folder / "open_clip_model.safetensors")
    return f"local-dir:{folder}"


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("visual.conv1.weight", np.nan, "the image tower gives NaN or infinity for a test image"),
        ("visual.ln_post.weight", np.inf, "the image tower gives NaN or infinity for a test image"),
        ("visual.proj", 0, "the image tower gives only zeros for a test image"),
        ("transformer.resblocks.0.mlp.c_fc.bias", np.nan, "the text tower gives NaN or infinity for a test text"),
        ("text_projection", 0, "the text tower gives only zeros for a test text"),
    ],
)
def test_a_model_without_usable_vectors_is_refused(tmp_path, key: str, value: float, message: str, precision: str):
    name = with_weight(tmp_path, key, value)
    with pytest.raises(FailedSelfCheck, match=message) as caught:
        openclip_api.load(name, precision=precision)
    assert "\n" not in str(caught.value)
    assert ("PRECISION=fp32" in str(caught.value)) == (precision != "fp32")
    openclip_api.load(name, precision=precision, self_check=False).close()


def test_a_model_whose_vectors_have_another_length_is_refused(tmp_path):
    folder = write_tiny_checkpoint(tmp_path)
    weights = tiny_weights()
    del weights["text_projection"]
    save_file(weights, folder / "open_clip_model.safetensors")
    config = CONFIG | {"text_cfg": CONFIG["text_cfg"] | {"proj_type": "none"}}
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config}))
    openclip_api.load(f"local-dir:{folder}", precision="fp32").close()  # as wide as the embedding: all is well
    weights["visual.proj"] = weights["visual.proj"][:, :12].copy()
    save_file(weights, folder / "open_clip_model.safetensors")
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config | {"embed_dim": 12}}))
    with pytest.raises(FailedSelfCheck, match=r"the text tower gives shape \[1, 16\] .* \[1, 12\]"):
        openclip_api.load(f"local-dir:{folder}", precision="fp32")


def test_one_number_of_many_is_enough_to_refuse_or_to_pass():
    vectors = np.zeros((1, 3), np.float32)
    vectors[0, 1] = 1e-30
    check_vectors("text", vectors, 3, "fp32")
    vectors[0, 2] = -np.inf
    with pytest.raises(FailedSelfCheck, match="infinity"):
        check_vectors("text", vectors, 3, "fp32")


def test_what_is_done_keeps_no_image(embedder: Embedder):
    """Without a collection of cycles, which come seldom: a long job would hold hundreds of images until the next."""
    images = [bytes([n, n, n]) for n in range(1, 4)]
    before = [sys.getrefcount(image) for image in images]
    gc.collect()
    gc.disable()
    try:
        futures = embedder.submit_all([("image", image) for image in images])
        assert [future.result(10).vector.tolist() for future in futures] == [[n, n, n] for n in range(1, 4)]
        embedder.close()
        assert [sys.getrefcount(image) for image in images] == before
    finally:
        gc.enable()
