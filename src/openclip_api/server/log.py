"""Log lines, as text or JSON. A thread of its own writes them: a slow or closed reader never stops the server."""

from __future__ import annotations

import contextlib
import encodings.unicode_escape  # noqa: F401  # else Python reads it at the first request, perhaps without a descriptor
import logging
import os
import queue
import sys
import threading
import time
import traceback
from collections.abc import Iterable, Iterator
from functools import partial
from logging.handlers import QueueHandler, QueueListener
from typing import Any, Literal

import orjson

Format = Literal["text", "json"]
LONGEST_QUEUE = 10_000  # lines; more are dropped
CLOSE_SECONDS = 1
GATHER_SECONDS = 0.02
AGAIN_SECONDS = 1
PIPE_BYTES = 4096  # PIPE_BUF of Linux
ALIKE = 40  # characters
FRAMES = 8


@contextlib.contextmanager
def logging_to_stderr(level: str, format: Format, worker: int | None = None) -> Iterator[None]:
    """Everything that this process logs from `level` on goes to stderr. The end of the block writes the last lines.

    worker: this process's number, for lines about requests, where it is one of several.
    """
    lines: queue.Queue[str | None] = queue.Queue(LONGEST_QUEUE)
    handler, listener = LineQueueHandler(lines), StderrListener(lines)
    handler.setFormatter(JsonFormatter() if format == "json" else TextFormatter())
    if worker is not None:
        handler.addFilter(partial(_with_worker, worker))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("openclip_api").setLevel(level.upper())
    logging.getLogger("asyncio").addFilter(NotAgain())
    if level != "debug":
        # uvicorn warns of each malformed request, however many there are
        logging.getLogger("uvicorn").setLevel(logging.ERROR)
    listener.start()
    try:
        yield
    finally:
        # stop() waits until all lines are written; nobody may read them
        stopping = threading.Thread(target=listener.stop, name="log-end", daemon=True)
        stopping.start()
        stopping.join(CLOSE_SECONDS)


def _with_worker(worker: int, record: logging.LogRecord) -> bool:
    if facts := getattr(record, "facts", None):
        *others, last = facts.items()  # the request's id, which stays the last
        record.facts = dict([*others, ("worker", worker), last])
    return True


class NotAgain(logging.Filter):
    """Lets messages that begin alike pass once in AGAIN_SECONDS.

    asyncio's own loop tells 2,000 times a second that it has no descriptor to accept a connection with.
    """

    def __init__(self) -> None:
        super().__init__()
        self._message, self._until = "", 0.0

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()[:ALIKE]
        if message == self._message and record.created < self._until:
            return False
        self._message, self._until = message, record.created + AGAIN_SECONDS
        return True


class LineQueueHandler(QueueHandler):
    """Puts finished lines into a queue: a record would keep an error's frames, and what a client sent, in memory."""

    def prepare(self, record: logging.LogRecord) -> str:
        return self.format(record)

    def enqueue(self, line: Any) -> None:
        with contextlib.suppress(queue.Full):
            self.queue.put_nowait(line)

    def handleError(self, record: logging.LogRecord) -> None:
        """Drop the line. The standard library would print its arguments to stderr, and wait for a reader."""


class StderrListener(QueueListener):
    """Lines that come shortly after each other share one write: each would cost two changes of threads."""

    queue: queue.Queue[str | None]

    def handle(self, line: Any) -> None:
        lines = [line, *self._following()]
        if sys.stderr is None:  # stderr was closed at the start: number 2 may be another file now
            return
        with contextlib.suppress(OSError):  # nobody reads it
            for data in _pieces(f"{line}\n".encode(errors="backslashreplace") for line in lines):
                while data:
                    data = data[os.write(2, data) :]

    def _following(self) -> Iterator[str]:
        """What else comes within GATHER_SECONDS."""
        time.sleep(GATHER_SECONDS)
        with contextlib.suppress(queue.Empty):
            while (line := self.queue.get_nowait()) is not None:
                yield line
            self.enqueue_sentinel()  # it was the end of the log

    def enqueue_sentinel(self) -> None:
        with contextlib.suppress(queue.Full):
            super().enqueue_sentinel()


def _pieces(lines: Iterable[bytes]) -> Iterator[bytes]:
    """Whole lines together, as many as a pipe takes at once: those of other workers come between pieces only."""
    piece = b""
    for line in lines:
        if piece and len(piece) + len(line) > PIPE_BYTES:
            yield piece
            piece = b""
        piece += line
    yield piece


class TextFormatter(logging.Formatter):
    """The message. One about a request also has its time and its facts."""

    def format(self, record: logging.LogRecord) -> str:
        facts: dict[str, object] = getattr(record, "facts", {})
        line = _escaped(record.getMessage()) if facts else record.getMessage()
        if facts:
            line = f"{_utc(record.created)} {line} " + " ".join(f"{key}={value}" for key, value in facts.items())
        return "\n".join([line, *_where(record)])


class JsonFormatter(logging.Formatter):
    """One JSON object on each line."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": _utc(record.created),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
            **getattr(record, "facts", {}),
        }
        if where := _where(record):
            line["traceback"] = where
        return orjson.dumps(line, default=str, option=orjson.OPT_NON_STR_KEYS).decode()


def _where(record: logging.LogRecord) -> list[str]:
    """The lines of code that led to an error. Its message may quote what a client sent, so only debugging shows it."""
    if not record.exc_info or record.exc_info[1] is None:
        return []
    error = record.exc_info[1]
    if logging.getLogger("openclip_api").isEnabledFor(logging.DEBUG):
        return "".join(traceback.format_exception(error)).rstrip().splitlines()
    innermost = traceback.extract_tb(error.__traceback__)[-FRAMES:]
    return [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in innermost]


def _escaped(text: str) -> str:
    return text.encode("unicode_escape").decode()


def _utc(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{int(seconds % 1 * 1000):03d}Z"
