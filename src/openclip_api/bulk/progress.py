"""How far a run is: a bar for people, lines of JSON for logs, or nothing."""

from __future__ import annotations

import json
import sys
import time
from types import TracebackType
from typing import Literal

from tqdm import tqdm

Style = Literal["auto", "bar", "json", "quiet"]
SECONDS_BETWEEN_LINES = 5.0


class Progress:
    """Written to stderr. `auto` is a bar on a terminal, and JSON lines elsewhere."""

    def __init__(self, style: Style, total: int, already: int, failures: int) -> None:
        if style == "auto":
            style = "bar" if sys.stderr.isatty() else "json"
        self._json, self._quiet = style == "json", style == "quiet"
        self._total, self._already, self.done, self.failures = total, already, already, failures
        self._started = self._last = time.monotonic()
        self._bar = tqdm(total=total, initial=already, unit=" items", disable=style != "bar", smoothing=0.1)
        self._show_failures()

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._bar.close()

    def add(self, rows: int, failures: int) -> None:
        self.done += rows
        self.failures += failures
        self._bar.update(rows)
        if failures:
            self._show_failures()
        if self._json and time.monotonic() - self._last >= SECONDS_BETWEEN_LINES:
            self._last = time.monotonic()
            self._print_event("progress", eta_seconds=self._eta())

    def warn(self, message: str) -> None:
        if self._json:
            self._print_event("warning", message=message)
        elif not self._quiet:
            self._bar.write(f"warning: {message}", file=sys.stderr)

    def finished(self) -> None:
        if self._json:
            self._print_event("done", seconds=round(time.monotonic() - self._started, 1))

    def _print_event(self, name: str, **more: float | str | None) -> None:
        fields = {"event": name, "items": self.done, "total": self._total, "failures": self.failures}
        print(json.dumps({**fields, "items_per_second": round(self._rate(), 1), **more}), file=sys.stderr, flush=True)

    def _rate(self) -> float:
        return (self.done - self._already) / max(time.monotonic() - self._started, 1e-9)

    def _eta(self) -> float | None:
        rate = self._rate()
        return round((self._total - self.done) / rate, 1) if rate else None

    def _show_failures(self) -> None:
        self._bar.set_postfix(failures=self.failures, refresh=False)
