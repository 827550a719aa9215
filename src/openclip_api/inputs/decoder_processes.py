"""Images are decoded in child processes, so that a hostile image ends no more than its own request.

A decoder is C code that reads what strangers send. It may crash, run for ever or ask for all memory. In a child only
the request that brought the image fails; the child is replaced.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import queue
import select
import signal
import struct
import subprocess
import sys
import time
from dataclasses import asdict
from typing import IO, Any, TypeAlias

import numpy as np

from ..checkpoints.config import PreprocessConfig
from ..errors import SHORTAGE, InvalidImage, Overloaded, RequestError, StartupError, TooLarge
from .formats import SAFE_FORMATS, is_installed
from .images import BYTES_PER_PIXEL, Decoded, image_reader, memory_left
from .thumbnails import thumbnail

log = logging.getLogger("openclip_api")

Child: TypeAlias = "subprocess.Popen[bytes]"

SECONDS = 10  # for one image; 40 megapixels of progressive JPEG, all noise, took 2.5 on a busy core
BASE_BYTES = 1_000_000_000  # address space of a child without an image; most of it is never touched
LENGTH = struct.Struct("<I")
IMAGE_SIZE = struct.Struct("<II")
# The heap keeps one image's blocks for the next. By default glibc returns each block of more than 128 KB to the system,
# which zeroes it again: 0.2 of the 2.1 core-ms of a small JPEG. Blocks of this size and more still go back.
HEAP = {"MALLOC_MMAP_THRESHOLD_": "8000000", "MALLOC_TRIM_THRESHOLD_": "8000000"}  # bytes
PIPE_BYTES = 1 << 18  # 224 x 224 pixels fit: a pipe of the usual 64 KB wakes both sides for each part of them
OK, INVALID, LARGE, SHORT, CRASHED = range(5)  # how a try ended
ERRORS: dict[int, type[RequestError]] = {
    INVALID: InvalidImage,
    LARGE: TooLarge,
    SHORT: Overloaded,
    CRASHED: InvalidImage,
}
GAVE_UP = "the image cannot be decoded: its decoder crashed, ran out of memory or took too long"

# What the decoder's own code can end with. SIGKILL comes from outside, as when the machine has no memory left.
CRASHES = {f"SIG{name}" for name in ("SEGV", "ABRT", "BUS", "ILL", "FPE", "SYS")}
WHY = {INVALID: "too slow", SHORT: "no resources", CRASHED: "crashed"}
TRIES = 2


class DecoderProcesses:
    """Does what image_reader's function does, in up to `count` child processes. Safe to call from several threads.

    Raises the same errors, and InvalidImage for an image that takes longer than `seconds` or crashes TRIES children.
    Raises Overloaded where it is not the image's fault: no child can be started, or something else ends them.
    The first child starts here: raises StartupError where it cannot.
    thumbnails: the children make these, and `thumbnail` is what may be called.
    """

    def __init__(
        self,
        config: PreprocessConfig,
        max_megapixels: float,
        count: int,
        seconds: float = SECONDS,
        scale_jpegs: bool = False,
        reading: str = "open_clip",
        formats: tuple[str, ...] = SAFE_FORMATS,
        thumbnails: bool = False,
    ) -> None:
        options = {
            "max_megapixels": max_megapixels,
            "scale_jpegs": scale_jpegs,
            "reading": reading,
            "thumbnails": thumbnails,
        }
        self._options = json.dumps({"config": asdict(config), "formats": formats, **options})
        self._shape = (config.size, config.size, 3)
        self._seconds = seconds
        self.count = count
        self._idle: queue.Queue[Child | None] = queue.LifoQueue()  # None: not started yet
        try:
            first = self._start()
        except OSError as error:
            raise StartupError(f"no process to decode images can be started ({error.strerror or error})") from error
        for child in [*[None] * (count - 1), first]:
            self._idle.put(child)

    def __call__(self, data: bytes) -> Decoded:
        payload = self._answer(data)
        width, height = IMAGE_SIZE.unpack_from(payload)
        pixels = np.frombuffer(payload, np.uint8, offset=IMAGE_SIZE.size).reshape(self._shape)
        return Decoded(pixels, width, height)

    def _answer(self, data: bytes) -> bytes:
        child = self._idle.get()
        try:
            for _ in range(TRIES):
                child, status, payload = self._try(child, data)
                if status not in (SHORT, CRASHED):
                    break
        finally:
            self._idle.put(child)
        if status != OK:
            raise ERRORS[status](str(payload, "utf-8"))
        return payload

    def _try(self, child: Child | None, data: bytes) -> tuple[Child | None, int, bytes]:
        """The child that goes on, how it ended, and the answer or an error's message."""
        try:
            if child is not None and child.poll() is not None:  # ended while it was idle
                _end(child)
                child = None
            child = child or self._start()
            answer = _exchange(child, data, time.monotonic() + self._seconds)
        except TimeoutError:
            status, message = INVALID, GAVE_UP
        except (OSError, MemoryError):
            crashed = child is not None and _ended_by(child) in CRASHES
            status, message = (CRASHED, GAVE_UP) if crashed else (SHORT, SHORTAGE)
        else:
            if answer[0] != SHORT:
                return child, answer[0], answer[1:]
            status, message = SHORT, SHORTAGE
        log.warning("a decoder process was stopped: %s", WHY[status])
        if child is not None:
            _end(child)
        return None, status, message.encode()

    def thumbnail(self, data: bytes) -> bytes:
        """What thumbnails.thumbnail makes."""
        return self._answer(data)

    def close(self) -> None:
        for _ in range(self.count):
            if (child := self._idle.get()) is not None:
                _end(child)

    def _start(self) -> Child:
        # A child needs little of the environment, and should find no secrets there.
        environment = {key: os.environ[key] for key in ("PATH", "PYTHONPATH", "SYSTEMROOT") if key in os.environ}
        child = subprocess.Popen(  # noqa: S603
            # -B: it writes no files. With a bound on their size Python would leave half a compiled module behind.
            [sys.executable, "-B", "-m", __name__, self._options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment | HEAP | {"OPENBLAS_NUM_THREADS": "1"},  # NumPy reserves address space for each thread
            bufsize=0,
            start_new_session=True,  # Ctrl-C must reach the server only, which ends its children itself
        )
        for pipe in (child.stdin, child.stdout):
            assert pipe is not None
            os.set_blocking(pipe.fileno(), False)
            _widen(pipe)
        return child


def _widen(pipe: IO[bytes]) -> None:
    with contextlib.suppress(ImportError, AttributeError, OSError):  # Linux only, and a user's pipes are limited
        import fcntl

        fcntl.fcntl(pipe.fileno(), fcntl.F_SETPIPE_SZ, PIPE_BYTES)


def _exchange(child: Child, data: bytes, deadline: float) -> bytes:
    """Raises OSError where the child ends or is too slow."""
    assert child.stdin is not None
    assert child.stdout is not None
    _write(child.stdin, LENGTH.pack(len(data)), deadline)
    _write(child.stdin, data, deadline)
    (count,) = LENGTH.unpack(_read(child.stdout, LENGTH.size, deadline))
    return _read(child.stdout, count, deadline)


def _write(pipe: IO[bytes], data: bytes, deadline: float) -> None:
    left = memoryview(data)
    while left:
        _wait(pipe, "write", deadline)
        left = left[pipe.write(left) or 0 :]


def _read(pipe: IO[bytes], count: int, deadline: float) -> bytes:
    data = bytearray(count)
    left = memoryview(data)
    while left:
        _wait(pipe, "read", deadline)
        got: int | None = pipe.readinto(left)  # type: ignore[attr-defined]
        if got == 0:
            raise BrokenPipeError
        left = left[got or 0 :]
    return bytes(data)


def _wait(pipe: IO[bytes], what: str, deadline: float) -> None:
    poll = select.poll()  # select.select fails for file numbers over 1,024
    poll.register(pipe, select.POLLOUT if what == "write" else select.POLLIN)
    if not poll.poll(max(0, deadline - time.monotonic()) * 1000):
        raise TimeoutError


def _ended_by(child: Child) -> str | None:
    """The name of the signal that ended a child whose pipe broke; None if it ended otherwise, or not at all."""
    with contextlib.suppress(subprocess.TimeoutExpired, ValueError):
        return signal.Signals(-child.wait(1)).name
    return None


def _end(child: Child) -> None:
    child.kill()
    child.wait()
    for pipe in (child.stdin, child.stdout):
        assert pipe is not None
        with contextlib.suppress(OSError):
            pipe.close()


def main(options: str) -> None:
    """The child. It reads a length and an image, and writes a length and an answer, until its input ends.

    The answer is a status byte, then the image's size and its pixels, or an error's message.
    """
    given: dict[str, Any] = json.loads(options)
    config = PreprocessConfig(**{key: _tuple(value) for key, value in given["config"].items()})
    formats = tuple(name for name in given["formats"] if is_installed(name))  # makes Pillow know them
    read = image_reader(config, given["max_megapixels"], given["scale_jpegs"], given["reading"], formats)

    def made(data: bytes) -> bytes:
        if given["thumbnails"]:
            return thumbnail(data, given["max_megapixels"])
        image = read(data)
        return IMAGE_SIZE.pack(image.width, image.height) + image.pixels.tobytes()

    _bound_memory(BASE_BYTES + int(given["max_megapixels"] * 1e6 * BYTES_PER_PIXEL))
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    while header := source.read(LENGTH.size):
        data = source.read(LENGTH.unpack(header)[0])
        try:
            answer = bytes([OK]) + made(data)
        except RequestError as error:
            answer = bytes([LARGE if isinstance(error, TooLarge) else INVALID]) + error.message.encode()
        except MemoryError:  # the image's own fault, if the largest one could have what it needs
            answer = bytes([INVALID if memory_left(given["max_megapixels"] * 1e6) else SHORT]) + GAVE_UP.encode()
        except (OSError, ValueError):  # of a thumbnail; image_reader says InvalidImage
            answer = bytes([INVALID]) + b"the image cannot be decoded"
        sink.write(LENGTH.pack(len(answer)) + answer)
        sink.flush()


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _bound_memory(count: int) -> None:
    with contextlib.suppress(ImportError):  # no such bound on Windows
        import resource

        bounds = [bound for bound in resource.getrlimit(resource.RLIMIT_AS) if bound != resource.RLIM_INFINITY]
        count = min([count, *bounds])  # what was bounded already cannot be raised
        resource.setrlimit(resource.RLIMIT_AS, (count, count))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


if __name__ == "__main__":
    main(sys.argv[1])
