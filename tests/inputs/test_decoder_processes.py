"""Decoding in children: the same pixels, and a decoder that fails takes nothing else with it."""

from __future__ import annotations

import contextlib
import io
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from openclip_api.checkpoints.config import PreprocessConfig
from openclip_api.errors import InvalidImage, Overloaded, StartupError, TooLarge
from openclip_api.inputs.decoder_processes import DecoderProcesses
from openclip_api.inputs.formats import installed_formats
from openclip_api.inputs.images import image_reader
from openclip_api.inputs.thumbnails import thumbnail

from ..conftest import Encode
from ..golden import GOLDEN

pytestmark = pytest.mark.process

CONFIG = PreprocessConfig(size=64)


KINDS = {path.name: path.read_bytes() for path in sorted((GOLDEN / "formats").iterdir()) if "twelve" not in path.name}


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


def test_readings_and_formats_are_the_same():
    """A child knows the formats that extras bring."""
    formats = installed_formats()
    for reading in ("natural", "open_clip"):
        here = image_reader(CONFIG, 2, False, reading, formats)
        processes = DecoderProcesses(CONFIG, 2, 1, reading=reading, formats=formats)
        for name, data in KINDS.items():
            np.testing.assert_array_equal(processes(data).pixels, here(data).pixels, name)
        processes.close()


def test_thumbnails_are_the_same():
    processes = DecoderProcesses(CONFIG, 2, 1, thumbnails=True)
    png, large = KINDS["plain.png"], io.BytesIO()
    Image.new("1", (2000, 2000)).save(large, "PNG")
    for name, data in KINDS.items():
        assert processes.thumbnail(data) == thumbnail(data, 2), name
    for bad, error in ((b"", InvalidImage), (png[:3000], InvalidImage), (large.getvalue(), TooLarge)):
        with pytest.raises(error):
            processes.thumbnail(bad)
    assert processes.thumbnail(png) == thumbnail(png, 2)
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


@contextlib.contextmanager
def every_child_gets(sent: signal.Signals) -> Iterator[None]:
    """No child lives long enough to decode an image."""
    ended = threading.Event()

    def send() -> None:
        while not ended.wait(0.02):
            for pid in children():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, sent)

    thread = threading.Thread(target=send)
    thread.start()
    time.sleep(0.3)  # those that were idle are gone
    try:
        yield
    finally:
        ended.set()
        thread.join()


@needs_proc
def test_an_image_that_crashes_two_children_is_at_fault(processes: DecoderProcesses, photo: Encode):
    image = photo()
    expected = processes(image)
    before = set(children())
    with every_child_gets(signal.SIGSEGV), pytest.raises(InvalidImage, match="decoder crashed"):
        processes(image)
    started = time.monotonic()
    np.testing.assert_array_equal(processes(image).pixels, expected.pixels)
    assert time.monotonic() - started < 3
    assert not before & set(children())


@needs_proc
def test_who_kills_children_from_outside_is_at_fault_and_not_the_image(processes: DecoderProcesses, photo: Encode):
    expected = processes(photo())
    with every_child_gets(signal.SIGKILL), pytest.raises(Overloaded, match="send the request again"):
        processes(photo())
    np.testing.assert_array_equal(processes(photo()).pixels, expected.pixels)


@needs_proc
@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM])
def test_an_image_whose_child_was_ended_once_is_decoded_by_another(
    processes: DecoderProcesses, photo: Encode, sent: signal.Signals
):
    image = photo()
    expected = processes(image)
    before = set(children())
    (pid,) = before
    os.kill(pid, signal.SIGSTOP)  # it will be at work on this image when the signal comes
    threading.Timer(0.5, os.kill, (pid, sent)).start()
    if sent != signal.SIGKILL:  # which a stopped one gets at once
        threading.Timer(0.6, os.kill, (pid, signal.SIGCONT)).start()
    np.testing.assert_array_equal(processes(image).pixels, expected.pixels)
    assert not before & set(children())


@contextlib.contextmanager
def limited(resource_: int, soft: int) -> Iterator[None]:
    before = resource.getrlimit(resource_)
    resource.setrlimit(resource_, (soft, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource_, before)


@needs_proc
def test_without_file_descriptors_nobody_blames_the_image(processes: DecoderProcesses, photo: Encode):
    processes(photo())
    (pid,) = children()
    os.kill(pid, signal.SIGKILL)
    with limited(resource.RLIMIT_NOFILE, len(list(Path("/proc/self/fd").iterdir()))), pytest.raises(Overloaded):
        processes(photo())
    assert processes(photo()).pixels.shape == (64, 64, 3)


@needs_proc
def test_a_start_without_file_descriptors_ends_with_one_line():
    used = len(list(Path("/proc/self/fd").iterdir()))
    with limited(resource.RLIMIT_NOFILE, used), pytest.raises(StartupError, match="no process to decode images"):
        DecoderProcesses(CONFIG, 1, 1)


@needs_proc
def test_without_memory_for_a_child_nobody_blames_the_image(processes: DecoderProcesses, photo: Encode):
    processes(photo())
    (pid,) = children()
    resource.prlimit(pid, resource.RLIMIT_AS, (1_000_000, 1_000_000))  # it can allocate nothing any more
    assert processes(photo()).pixels.shape == (64, 64, 3)  # its successor can
    (pid,) = children()
    os.kill(pid, signal.SIGKILL)
    with limited(resource.RLIMIT_AS, 1_000_000), pytest.raises(Overloaded):
        processes(photo())
    assert processes(photo()).pixels.shape == (64, 64, 3)


READ_WITH_LITTLE_MEMORY = """
import resource, sys
from pathlib import Path
from openclip_api.checkpoints.config import PreprocessConfig
from openclip_api.inputs.images import image_reader

read, image = image_reader(PreprocessConfig(size=64)), Path(sys.argv[1]).read_bytes()
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 20_000_000, -1))
try:
    read(image)
except Exception as error:
    print(type(error).__name__)
"""


@needs_proc
@pytest.mark.parametrize(
    "options", [{"format": "PNG"}, {"format": "GIF"}, {"format": "WEBP"}, {"format": "JPEG", "progressive": True}]
)
def test_without_memory_for_the_pixels_nobody_blames_the_image(tmp_path: Path, options: dict[str, Any]):
    Image.new("RGB", (6000, 6000)).save(tmp_path / "image", **options)
    command = [sys.executable, "-c", READ_WITH_LITTLE_MEMORY, str(tmp_path / "image")]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "MemoryError\n"


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
