"""Images by URL in a table. The checks are the real ones; only the network behind them is a server in this process."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from openclip_api.bulk import urls
from openclip_api.bulk.urls import UrlReader
from openclip_api.fetch.fetcher import CONCURRENT, ImageFetcher
from openclip_api.inputs.formats import installed_formats, not_read
from openclip_api.runtime.embedder import Embedder

from ..support.upstream import PUBLIC_ADDRESS, Backend, Sentinel, Upstream, body, hang, redirect, resolver
from .conftest import GOLDEN, Embed, rows_of, vectors_of

NOT_AN_IMAGE = not_read(b"", installed_formats())

JPEG, PNG = (GOLDEN / "rgb.jpg").read_bytes(), (GOLDEN / "rgb.png").read_bytes()


def slow(request: BaseHTTPRequestHandler) -> None:
    time.sleep(0.05)
    body(JPEG)(request)


@pytest.fixture
def upstream(monkeypatch: pytest.MonkeyPatch) -> Iterator[Upstream]:
    """The web server that ok.test and other.test resolve to."""
    answers = {
        "/a.jpg": body(JPEG),
        "/b.png": body(PNG),
        "/moved": redirect("http://other.test/b.png"),
        "/inward": redirect("http://127.0.0.1/a.jpg"),
        "/404": body(b"", 404),
        "/page": body(b"<html>", Content_Type="image/png"),
        "/large": body(bytes(3_000_000)),
        "/hang": hang,
        "/slow": slow,
    }
    with Upstream(answers) as upstream:
        network = {
            "resolve": resolver({"ok.test": [PUBLIC_ADDRESS], "other.test": [PUBLIC_ADDRESS], "in.test": ["10.0.0.1"]}),
            "backend": Backend(upstream.port),
        }
        monkeypatch.setattr(urls, "ImageFetcher", partial(ImageFetcher, **network))
        yield upstream


def embed_urls(tmp_path: Path, run: Embed, addresses: list[str], **settings: object) -> int:
    (tmp_path / "t.jsonl").write_text("\n".join(json.dumps({"url": url, "n": url[-3:]}) for url in addresses))
    options = ("--url-column", "url", "--keep", "n", "--out", tmp_path / "out")
    return run(tmp_path / "t.jsonl", *options, **settings)


def test_images_are_fetched_and_embedded(tmp_path: Path, run: Embed, embedder: Embedder, upstream: Upstream):
    addresses = [f"http://ok.test/{name}" for name in ("a.jpg", "b.png", "moved")] + ["http://other.test/a.jpg"]
    assert embed_urls(tmp_path, run, addresses) == 0
    rows = rows_of(tmp_path / "out")
    expected = embedder.embed_images([JPEG, PNG])
    np.testing.assert_allclose(vectors_of(rows), expected[[0, 1, 1, 0]], atol=1e-5)
    assert rows["path"].to_list() == addresses
    assert rows["n"].to_list() == ["jpg", "png", "ved", "jpg"]
    assert rows.select("width", "height").rows() == [(45, 32)] * 4


@pytest.mark.slow
def test_what_cannot_be_fetched_is_a_row_that_says_so(tmp_path: Path, run: Embed, upstream: Upstream):
    sentinel = Sentinel()
    names = ["a.jpg", "404", "page", "large", "hang", "inward"]
    addresses = [f"http://ok.test/{name}" for name in names] + ["http://in.test/", f"http://127.0.0.1:{sentinel.port}/"]
    assert embed_urls(tmp_path, run, addresses, max_body_mb=1, url_timeout=4) == 3
    not_allowed = "the URL's host cannot be found, or the server may not fetch images from it"
    assert rows_of(tmp_path / "out")["error"].to_list() == [
        None,
        "the image could not be fetched: its host answers with status 404",
        NOT_AN_IMAGE,
        "the image is larger than 1 MB",
        "the image was not fetched within 4 seconds",
        not_allowed,
        not_allowed,
        "the URL's port is not one of 80, 443",
    ]
    assert not sentinel.was_reached()
    sentinel.close()


def test_only_the_hosts_that_are_named(tmp_path: Path, run: Embed, upstream: Upstream):
    addresses = ["http://ok.test/a.jpg", "http://other.test/a.jpg", "http://ok.test/moved"]
    assert embed_urls(tmp_path, run, addresses, url_hosts=["ok.test"]) == 3
    assert rows_of(tmp_path / "out")["error"].is_null().to_list() == [True, False, False]


def test_what_is_done_is_not_fetched_again(tmp_path: Path, run: Embed, upstream: Upstream):
    for _ in range(2):
        assert embed_urls(tmp_path, run, ["http://ok.test/a.jpg", "http://ok.test/b.png"]) == 0
    assert len(upstream.requests) == 2


def test_many_readers_do_not_wait_their_seconds_away(upstream: Upstream, monkeypatch: pytest.MonkeyPatch):
    """With several servers there are more readers than fetches at once, and URL_TIMEOUT starts with each fetch."""
    begun, most = 0, 0

    class Counted(ImageFetcher):
        async def fetch(self, *arguments: Any) -> bytes:
            nonlocal begun, most
            begun += 1
            most = max(most, begun)
            try:
                return await super().fetch(*arguments)
            finally:
                begun -= 1

    network = urls.ImageFetcher.keywords  # type: ignore[attr-defined]  # of the fixture's partial
    monkeypatch.setattr(urls, "ImageFetcher", partial(Counted, **network))
    reader = UrlReader([], 1_000_000, 60)
    with ThreadPoolExecutor(40) as pool:
        assert list(pool.map(reader.fetch, [f"http://ok.test/slow?{n}" for n in range(40)])) == [JPEG] * 40
    assert most == CONCURRENT
    assert upstream.most_at_once == 2
