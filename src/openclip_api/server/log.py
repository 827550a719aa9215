"""Log lines, as text or JSON, written by a thread of their own: a slow or closed reader never stops the server."""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import sys
import threading
import time
import traceback
from typing import Literal

import orjson

Format = Literal["text", "json"]
LONGEST_QUEUE = 10_000  # lines; what comes on top is dropped
CLOSE_SECONDS = 1
FRAMES = 8


def set_up(level: str, format: Format) -> LogWriter:
    """All of this process's logging to stderr, from `level` on. Close the writer to have the last lines written."""
    writer = LogWriter()
    writer.setFormatter(JsonFormatter() if format == "json" else TextFormatter())
    logging.basicConfig(level=logging.WARNING, handlers=[writer], force=True)
    logging.getLogger("openclip_api").setLevel(level.upper())
    if level != "debug":
        # uvicorn warns of each malformed request, as many as there are
        logging.getLogger("uvicorn").setLevel(logging.ERROR)
    return writer


class LogWriter(logging.Handler):
    """Puts lines in a queue, from which a thread writes them to stderr."""

    def __init__(self) -> None:
        super().__init__()
        self._lines: queue.Queue[str | None] = queue.Queue(LONGEST_QUEUE)
        self._thread = threading.Thread(target=self._write, name="log", daemon=True)
        self._thread.start()

    def emit(self, record: logging.LogRecord) -> None:
        with contextlib.suppress(queue.Full):
            self._lines.put_nowait(self.format(record))

    def close(self) -> None:
        try:
            self._lines.put_nowait(None)
        except queue.Full:
            return
        self._thread.join(CLOSE_SECONDS)
        super().close()

    def _write(self) -> None:
        while (line := self._lines.get()) is not None:
            if sys.stderr is None:  # started with it closed: its number may be another file's by now
                continue
            data = f"{line}\n".encode(errors="backslashreplace")
            try:
                while data:
                    data = data[os.write(2, data) :]
            except OSError:  # nobody reads it
                continue


class TextFormatter(logging.Formatter):
    """The message, with its time where it tells of a request, and the facts that came with it."""

    def format(self, record: logging.LogRecord) -> str:
        facts: dict[str, object] = getattr(record, "facts", {})
        line = _escaped(record.getMessage()) if facts else record.getMessage()
        if facts:
            line = f"{_utc(record.created)} {line} " + " ".join(f"{key}={value}" for key, value in facts.items())
        return "\n".join([line, *_where(record)])


class JsonFormatter(logging.Formatter):
    """One object a line."""

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
    """The lines of code that led to an error. Its message may quote what a client sent: that is for debugging only."""
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
