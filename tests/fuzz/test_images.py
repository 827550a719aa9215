"""Mutated image files: each is read or refused, none ends or holds up its decoder. The seed is fixed.

FUZZ_IMAGES=100000 python -m pytest tests/fuzz/test_images.py    # longer; FUZZ_SEED for others
"""

from __future__ import annotations

import os
import random
import signal
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from openclip_api.checkpoints.config import PreprocessConfig
from openclip_api.errors import RequestError
from openclip_api.inputs import decoder_processes
from openclip_api.inputs.decoder_processes import Child, DecoderProcesses
from openclip_api.inputs.formats import installed_formats

from ..golden import IMAGES
from ..inputs.test_formats import LOSSLESS, LOSSY, dng
from ..support.bad_images import IMAGES as BAD

COUNT = int(os.environ.get("FUZZ_IMAGES", 3000))
SEED = int(os.environ.get("FUZZ_SEED", 1))
NUMBERS = [bytes([n] * 4) for n in (0, 1, 0x7F, 0x80, 0xFF)] + [b"\xff\xda", b"\xff\xd9", b"\x00\x00\xff\xff"]


def mutated(seeds: list[bytes], rng: random.Random) -> bytes:
    data = bytearray(rng.choice(seeds))
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        at = rng.randrange(len(data) if rng.random() < 0.5 else min(len(data), 200)) if data else 0
        match rng.randrange(6):
            case 0:
                data[at : at + 1] = bytes([rng.randrange(256)])
            case 1:
                number = rng.choice(NUMBERS)
                data[at : at + len(number)] = number
            case 2:
                del data[at : at + rng.randrange(1, 64)]
            case 3:
                data[at:at] = data[at : at + rng.randrange(1, 256)] * rng.randrange(1, 8)
            case 4:
                other = rng.choice(seeds)
                data[at:] = other[min(at, len(other)) :]
            case 5:
                data[at : at + 8] = rng.randbytes(8)
    return bytes(data)


@pytest.mark.process
@pytest.mark.parametrize("reading", ["natural", "open_clip"])
def test_mutated_images_are_read_or_refused(reading: str):
    seeds = list(IMAGES.values()) + [data for _, data, _ in BAD if 0 < len(data) < 60_000]
    seeds += [data for data, _ in (*LOSSLESS.values(), *LOSSY.values()) if data] + [dng(6)]
    rng = random.Random(SEED)
    processes = DecoderProcesses(
        PreprocessConfig(size=32), max_megapixels=4, count=2, reading=reading, formats=installed_formats()
    )
    seen: Counter[str] = Counter()
    crashed: list[int] = []

    def decode(number_and_data: tuple[int, bytes]) -> None:
        number, data = number_and_data
        try:
            pixels = processes(data).pixels
        except RequestError as error:
            if "decoder crashed" in error.message:
                crashed.append(number)
            seen[type(error).__name__] += 1
        else:
            assert pixels.shape == (32, 32, 3)
            assert pixels.dtype == np.uint8
            seen["read"] += 1

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(decode, enumerate(mutated(seeds, rng) for _ in range(COUNT))))
    processes.close()
    print(f"\n{COUNT} mutated images: {dict(seen)}")
    assert not crashed, f"FUZZ_SEED={SEED}, images {crashed[:10]}"
    assert not seen["Overloaded"]  # a child that ended otherwise, and had every resource
    assert seen["read"] > COUNT / 100  # the mutations reach further than the header
    assert seen["InvalidImage"] > COUNT / 100


@pytest.mark.process
def test_a_planted_crash_would_be_seen(monkeypatch: pytest.MonkeyPatch):
    processes = DecoderProcesses(PreprocessConfig(size=32), max_megapixels=4, count=1)
    exchange = decoder_processes._exchange

    def crashing(child: Child, data: bytes, deadline: float) -> bytes:
        os.kill(child.pid, signal.SIGSEGV)
        return exchange(child, data, deadline)

    monkeypatch.setattr(decoder_processes, "_exchange", crashing)
    with pytest.raises(RequestError, match="decoder crashed"):
        processes(b"x")
    processes.close()
