"""The real server around an engine of known cost: `python -m tests.support.fake_server`, settings from the environment.

Everything but the model is the product's own: process, sockets, queue, batching, tokenizer, image decoding.
A vector is made of what went in, so that an answer can be matched to its question: a text's first token ids,
an image's first pixels. Some texts make the engine misbehave: see FakeEngine.

FAKE_BATCH_SECONDS, FAKE_ITEM_SECONDS   what a forward pass costs (default 0)
FAKE_LOAD_SECONDS                       what loading costs (default 0)
FAKE_UPSTREAM                           ok.test=PORT: where images by URL are found
FAKE_FAULT                              what `make chaos` and `make fuzz` must be able to see: "leak" keeps memory for
                                        every item, "block" blocks the event loop for each request, "slow" computes for
                                        a time that grows with the square of a text's length, "hoard" takes five
                                        thousand times a text's length in memory, "fail" fails at each text,
                                        "normalise" brings a text's marks in order as Unicode's own algorithm does,
                                        "uncounted" opens images whatever they are made of
"""

from __future__ import annotations

import os
import sys
import time
import unicodedata
from typing import Any

import numpy as np

from openclip_api.checkpoints.config import PreprocessConfig, TokenizerConfig
from openclip_api.checkpoints.sources import Source
from openclip_api.ending import exit_code
from openclip_api.fetch.fetcher import ImageFetcher
from openclip_api.inputs import images
from openclip_api.inputs.tokenizer import Tokens, build_tokenizer
from openclip_api.runtime.embedder import Embedder
from openclip_api.runtime.embedding import ModelInfo
from openclip_api.runtime.load_options import LoadOptions
from openclip_api.runtime.loader import image_decoders
from openclip_api.server.run import run
from openclip_api.server.supervisor import supervise
from openclip_api.server.worker import Worker
from openclip_api.server.worker_count import worker_count
from openclip_api.settings import Settings, read_settings

from .upstream import PUBLIC_ADDRESS, Backend, resolver

SIZE, LENGTH, DIM = 32, 16, 8
tokenize = build_tokenizer(TokenizerConfig(LENGTH), None)


def vector_of(text: str) -> list[float]:
    """What the fake engine answers for a text."""
    return tokenize(text).ids[:DIM].astype(float).tolist()


def first_token(text: str) -> int:
    return int(tokenize(text).ids[1])


class FakeEngine:
    """Texts that start with one of these words do what they say to the batch they are in."""

    name, device, precision = "fake", "cpu", "fp32"
    POISON, NAN, SHORT, WIDE, HANG, MEMORY = map(first_token, ["poison", "nan", "short", "wide", "hang", "memory"])

    def __init__(self) -> None:
        self._batch_seconds = float(os.environ.get("FAKE_BATCH_SECONDS", 0))
        self._item_seconds = float(os.environ.get("FAKE_ITEM_SECONDS", 0))
        self._leaked: list[bytes] | None = [] if os.environ.get("FAKE_FAULT") == "leak" else None

    def encode_images(self, pixels: Any) -> Any:
        self._work(len(pixels))
        return pixels.reshape(len(pixels), -1)[:, :DIM].astype(np.float32)

    def encode_texts(self, ids: Any) -> Any:
        self._work(len(ids))
        said = set(ids[:, 1].tolist())
        if self.HANG in said:
            time.sleep(3600)
        if self.POISON in said:
            raise RuntimeError("the engine was poisoned")
        if self.MEMORY in said and len(ids) > 2:
            raise MemoryError
        vectors = ids[:, :DIM].astype(np.float32)
        vectors[ids[:, 1] == self.NAN] = np.nan
        if self.WIDE in said:
            vectors = np.repeat(vectors, 2, axis=1)
        return vectors[:-1] if self.SHORT in said else vectors

    def close(self) -> None:
        pass

    def _work(self, count: int) -> None:
        time.sleep(self._batch_seconds + count * self._item_seconds)
        if self._leaked is not None:
            self._leaked += [os.urandom(10_000) for _ in range(count)]


class BlockingEmbedder(Embedder):
    def submit_all(self, *args: Any) -> Any:
        time.sleep(0.2)
        return super().submit_all(*args)


def tokenize_badly(text: str) -> Tokens:
    """As FAKE_FAULT wants it. "slow" takes 30 seconds for 100,000 characters, a quarter of that for half of them."""
    match os.environ["FAKE_FAULT"]:
        case "slow":
            started = time.thread_time()
            while time.thread_time() - started < 30 * (len(text) / 100_000) ** 2:
                pass
        case "hoard":
            len(b"x" * (5000 * len(text)))
        case "normalise":
            unicodedata.normalize("NFC", text)
        case "fail":
            raise RuntimeError("planted")
    return tokenize(text)


def load(source: Source, _: None, options: LoadOptions, *, model_id: str | None, report: Any) -> Embedder:
    report("pretending", 0, 0)
    time.sleep(float(os.environ.get("FAKE_LOAD_SECONDS", 0)))
    info = ModelInfo(
        "fake",
        str(source),
        None,
        "f" * 16,
        DIM,
        SIZE,
        LENGTH,
        "gelu",
        (0,) * 3,
        (1,) * 3,
        "",
        "",
        "fp32",
        "fake",
        "cpu",
        None,
        None,
    )
    decoders = image_decoders(PreprocessConfig(size=SIZE), options)
    bounds = {key: getattr(options, key) for key in ("max_batch", "max_queue", "max_queue_bytes")}
    bounds |= {"max_pixels": options.max_megapixels * 1e6, "decoders": decoders.count}
    fault = os.environ.get("FAKE_FAULT")
    if fault == "uncounted":
        images.check_structure = lambda *_: None
    make = BlockingEmbedder if fault == "block" else Embedder
    tokenizer = tokenize_badly if fault else tokenize
    return make(info, FakeEngine(), decoders, tokenizer, **bounds, on_close=decoders.close)


def fetcher(settings: Settings) -> ImageFetcher | None:
    if "FAKE_UPSTREAM" not in os.environ:
        return None
    name, _, port = os.environ["FAKE_UPSTREAM"].partition("=")
    return ImageFetcher(
        max_bytes=int(settings.max_body_mb * 1e6),
        seconds=settings.url_timeout,
        resolve=resolver({name: [PUBLIC_ADDRESS]}),
        backend=Backend(int(port)),
    )


def serve(arguments: list[str]) -> int:
    """With a descriptor as the argument: one of WORKERS."""
    worker = Worker(int(arguments[0])) if arguments else None
    settings = worker.settings if worker else read_settings()
    if worker is None and settings.workers != 1:
        return supervise(settings, worker_count(settings), "tests.support.fake_server")
    return run(settings, load, fetcher(settings), worker=worker)


if __name__ == "__main__":
    os._exit(exit_code(lambda: serve(sys.argv[1:]), goes_on=False))
