"""A model on its way to being ready: its stage, its progress, then its embedder."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from ..checkpoints.hub import Report
from ..embedder import Embedder
from ..errors import NotReady, OpenClipApiError


class Loading:
    """Runs `load(report)` in a thread of its own, so that the server can answer meanwhile."""

    def __init__(self, load: Callable[[Report], Embedder]) -> None:
        self._load = load
        self._embedder: Embedder | None = None
        self._stage: tuple[str, int, int] = ("starting", 0, 0)
        self.error: Exception | None = None
        self.seconds = 0.0

    def start(self, on_end: Callable[[], None]) -> None:
        """Begin; `on_end` is called from the thread when the embedder or the error is there."""
        threading.Thread(target=self._work, args=(on_end,), name="loading", daemon=True).start()

    @property
    def embedder(self) -> Embedder:
        """Raises NotReady until the model is loaded."""
        if self._embedder is None:
            raise NotReady(f"the model is not ready yet ({self._stage[0]}): try again shortly")
        return self._embedder

    def status(self) -> dict[str, Any]:
        """For /ready: the stage, and while downloading how many bytes of how many."""
        if self._embedder is not None:
            return {"status": "ready"}
        stage, done, total = self._stage
        progress = {"progress": {"bytes": done, "total_bytes": total}} if total else {}
        return {"status": "loading", "stage": stage, **progress}

    def close(self) -> None:
        if self._embedder is not None:
            self._embedder.close()

    def _work(self, on_end: Callable[[], None]) -> None:
        started = time.perf_counter()
        try:
            self._embedder = self._load(self._report)
        except (OpenClipApiError, MemoryError) as error:
            self.error = error
        except Exception as error:  # a defect of ours must end start-up too, not leave a server that never gets ready
            self.error = error
            raise
        finally:
            self.seconds = time.perf_counter() - started
            on_end()

    def _report(self, stage: str, done: int, total: int) -> None:
        self._stage = (stage, done, total)
