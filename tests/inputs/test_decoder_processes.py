"""Decoding in children: the same pixels, and a decoder that fails takes nothing else with it."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from openclip_api.checkpoints.config import PreprocessConfig
from openclip_api.errors import InvalidImage, TooLarge
from openclip_api.inputs.decoder_processes import DecoderProcesses
from openclip_api.inputs.images import image_reader

from ..conftest import Encode

pytestmark = pytest.mark.process

CONFIG = PreprocessConfig(size=64)


@pytest.fixture
def processes() -> Iterator[DecoderProcesses]:
    processes = DecoderProcesses(CONFIG, max_megapixels=2, count=2, seconds=3)
    yield processes
    processes.close()


def children() -> dict[int, str]:
    """Process id → command line of this process's children."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if int((process / "stat").read_text().rpartition(")")[2].split()[1]) == os.getpid():
                found[int(process.name)] = (process / "cmdline").read_text()
        except OSError:
            continue
    return {pid: command for pid, command in found.items() if "decoder_processes" in command}


needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds processes on Linux only")


@pytest.mark.parametrize("mode", ["shortest", "squash", "longest"])
def test_the_pixels_are_the_same_to_the_bit(photo: Encode, mode: str):
    config = PreprocessConfig(size=50, resize_mode=mode, interpolation="bilinear")
    here, processes = image_reader(config, 40), DecoderProcesses(config, 40, count=2)
    images = [photo(name, format) for name in ("astronaut", "coffee") for format in ("JPEG", "PNG", "WEBP", "GIF")]
    with ThreadPoolExecutor(4) as pool:
        for image, decoded in zip(images, pool.map(processes, images), strict=True):
            expected = here(image)
            np.testing.assert_array_equal(decoded.pixels, expected.pixels)
            assert (decoded.width, decoded.height) == (expected.width, expected.height)
    processes.close()


def test_errors_are_the_same(processes: DecoderProcesses, photo: Encode):
    here = image_reader(CONFIG, 2)
    for image, kind in [(b"no image", InvalidImage), (photo()[:5000], InvalidImage), (b"", InvalidImage)]:
        with pytest.raises(kind) as expected:
            here(image)
        with pytest.raises(kind) as caught:
            processes(image)
        assert caught.value.message == expected.value.message
    with pytest.raises(TooLarge):
        processes(photo(size=(2000, 1500)))


@needs_proc
def test_a_crash_fails_its_own_image_and_the_child_is_replaced(processes: DecoderProcesses, photo: Encode):
    image = photo()
    expected = processes(image)
    before = set(children())
    (pid,) = before
    os.kill(pid, signal.SIGSTOP)  # it will be at work on this image when the signal comes
    threading.Timer(0.5, os.kill, (pid, signal.SIGSEGV)).start()
    threading.Timer(0.6, os.kill, (pid, signal.SIGCONT)).start()
    with pytest.raises(InvalidImage, match="decoder crashed"):
        processes(image)
    started = time.monotonic()
    np.testing.assert_array_equal(processes(image).pixels, expected.pixels)
    assert time.monotonic() - started < 3
    assert not before & set(children())


@needs_proc
def test_what_takes_too_long_is_ended(processes: DecoderProcesses, photo: Encode):
    processes(photo())
    (pid,) = children()
    os.kill(pid, signal.SIGSTOP)
    started = time.monotonic()
    with pytest.raises(InvalidImage, match="too long"):
        processes(photo())
    assert 2 < time.monotonic() - started < 10
    assert processes(photo()).pixels.shape == (64, 64, 3)


@needs_proc
def test_one_that_ended_while_idle_costs_nobody_anything(processes: DecoderProcesses, photo: Encode):
    processes(photo())
    (pid,) = children()
    os.kill(pid, signal.SIGKILL)
    time.sleep(0.2)
    assert processes(photo()).pixels.shape == (64, 64, 3)


@needs_proc
def test_children_end_with_it_and_know_no_secrets(monkeypatch: pytest.MonkeyPatch, photo: Encode):
    monkeypatch.setenv("API_KEY", "secret")
    processes = DecoderProcesses(CONFIG, 2, count=3)
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(processes, [photo()] * 30))
    pids = children()
    assert 1 <= len(pids) <= 3
    for pid in pids:
        assert "secret" not in Path(f"/proc/{pid}/environ").read_text()
    processes.close()
    assert children() == {}


def test_an_image_larger_than_a_pipe_goes_through(processes: DecoderProcesses, photo: Encode):
    image = photo("astronaut", "BMP", size=(1000, 1000))
    assert len(image) > 2_000_000
    np.testing.assert_array_equal(processes(image).pixels, image_reader(CONFIG, 2)(image).pixels)
