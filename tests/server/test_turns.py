"""A request behind a large one gets its turn: in the engine, and in the decoders. And what one may have decoded."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from PIL import Image

from ..conftest import Encode
from ..support.bad_images import encoded
from ..support.server_process import FakeServer

pytestmark = [pytest.mark.process, pytest.mark.slow]
MEGAPIXELS = 4
MANY = 2048
CONTEXT = "\U0001f98a\U0001f697\U0001f3e0" * 26  # emoji that fill any model's context


@pytest.fixture(scope="module")
def server() -> Iterator[FakeServer]:
    with FakeServer(MAX_IMAGE_MEGAPIXELS=MEGAPIXELS) as process:
        yield process


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as pool:
        yield pool


def ask(server: FakeServer, body: dict) -> httpx.Response:
    return server.http.post("/embeddings", json=body, timeout=120)


def flat(number: int, side: int = 2000) -> str:
    """Four megapixels in a kilobyte."""
    return base64.b64encode(encoded(Image.new("RGB", (side, side), (number, 0, 0)), "AVIF", speed=10)).decode()


def photos(photo: Encode, count: int) -> list[str]:
    return [base64.b64encode(photo(size=(1900 + i, 1900))).decode() for i in range(count)]


def test_one_text_has_its_turn_behind_2048_long_ones(pool: ThreadPoolExecutor):
    with FakeServer(FAKE_BATCH_SECONDS=0.2) as server:
        large = pool.submit(ask, server, {"text": [f"{i} {CONTEXT}" for i in range(MANY)]})
        while server.metric("openclip_queue_items") < MANY / 2:
            assert not large.done()
            time.sleep(0.01)
        for number in range(5):
            before = server.metric("openclip_batch_items_count")
            assert ask(server, {"text": f"one {number} {CONTEXT}"}).status_code == 200
            assert (
                server.metric("openclip_batch_items_count") - before <= 5
            )  # of 128; on a busy machine one or two more
            assert not large.done()


def test_neither_a_text_nor_an_image_waits_for_all_decoders(
    server: FakeServer, pool: ThreadPoolExecutor, photo: Encode
):
    """One request of many large images, and others of one while it is decoded."""
    ask(server, {"image": [flat(200 + i, 100) for i in range(8)]})  # all decoders have started
    large = pool.submit(ask, server, {"image": photos(photo, 40)})
    while server.metric("openclip_queue_items") < 8:
        assert not large.done()
        time.sleep(0.01)
    small = base64.b64encode(photo(size=(64, 48))).decode()
    before = server.metric("openclip_queue_items")
    for body in ({"text": "a"}, {"image": small}, {"image": flat(250, 80)}):
        assert ask(server, body).status_code == 200
    assert not large.done()
    assert before - server.metric("openclip_queue_items") < 30
    assert large.result().status_code == 200, large.result().text


def test_flat_images_of_many_pixels_are_bounded_together(server: FakeServer, pool: ThreadPoolExecutor):
    """64 files of some 1 KB: each is small enough, and all of them are seconds of work."""
    body = {"image": [flat(i) for i in range(64)]}
    seconds = server.metric("openclip_stage_seconds_sum", stage="decode")
    answer = ask(server, body)
    assert answer.status_code == 413, answer.text
    assert "megapixels together" in answer.json()["error"]["message"]
    assert answer.json()["error"]["param"].startswith("image[")
    assert server.metric("openclip_stage_seconds_sum", stage="decode") == seconds  # of requests that were answered
    assert ask(server, {"image": body["image"][:4]}).status_code == 200


def test_whoever_sends_one_of_these_images_alone_is_answered(server: FakeServer, pool: ThreadPoolExecutor):
    """Equal images in flight are decoded once, but what is too much for one request is not for another."""
    images = [flat(100 + i) for i in range(30)]
    large = pool.submit(ask, server, {"image": images})
    others = pool.map(lambda i: ask(server, {"image": images[i]}).status_code, (2, 15, 29))
    assert list(others) == [200, 200, 200]
    assert large.result().status_code == 413


def test_photographs_have_few_pixels_for_each_byte(server: FakeServer, photo: Encode):
    """All of them are more than any number of flat images may have."""
    answer = ask(server, {"image": photos(photo, 20)})
    assert answer.status_code == 200, answer.text
