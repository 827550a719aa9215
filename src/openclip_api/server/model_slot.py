"""One model on its way: put away, loading with its stage and progress, or ready."""

from __future__ import annotations

import ctypes
import gc
import sys
import time
from collections.abc import Callable
from typing import Any, TypeAlias

from ..checkpoints.hub import Report
from ..errors import NotReady, OpenClipApiError
from ..runtime.embedder import Embedder

Load: TypeAlias = Callable[[Report], Embedder]


class Loading:
    """`users` counts the requests that hold the embedder; it is put away only while there are none."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._embedder: Embedder | None = None
        self._stage: tuple[str, int, int] | None = None
        self.error: Exception | None = None
        self.model_id: str | None = None  # known once it was loaded
        self.seconds = 0.0
        self.users = 0
        self.used_at = 0.0

    @property
    def embedder(self) -> Embedder:
        """Raises NotReady while it is not loaded."""
        if self._embedder is None:
            stage = self._stage[0] if self._stage else "put away"
            raise NotReady(f"the model is not ready yet ({stage}): try again shortly")
        return self._embedder

    @property
    def is_put_away(self) -> bool:
        return self._embedder is None and self._stage is None

    @property
    def is_loaded(self) -> bool:
        return self._embedder is not None

    @property
    def is_idle(self) -> bool:
        return self._embedder is not None and self.users == 0

    def announce(self) -> None:
        """It will be loaded soon: from here on it is not put away."""
        self._report("waiting", 0, 0)

    def run(self) -> None:
        """Load in the calling thread; ends with an embedder or with `error`."""
        started = time.perf_counter()
        self._report("starting", 0, 0)
        try:
            self._embedder = self._load(self._report)
            self.model_id = self._embedder.info.model_id
        except (OpenClipApiError, MemoryError) as error:
            self.error = error
        except Exception as error:  # a defect of ours must end start-up too, not leave a server that never gets ready
            self.error = error
            raise
        finally:
            self._stage = None
            self.used_at = time.monotonic()
            self.seconds = time.perf_counter() - started

    def status(self) -> dict[str, Any]:
        """For /ready: the stage, and while downloading how many bytes of how many."""
        if self._embedder is not None:
            return {"status": "ready"}
        stage, done, total = self._stage or ("waiting", 0, 0)
        progress = {"progress": {"bytes": done, "total_bytes": total}} if total else {}
        return {"status": "loading", "stage": stage, **progress}

    def put_away(self) -> None:
        """Close the embedder and give its memory back to the system."""
        embedder, self._embedder = self._embedder, None
        if embedder is not None:
            embedder.close()
            del embedder
            gc.collect()  # a tokenizer and its cache refer to each other
            _trim_heap()

    def _report(self, stage: str, done: int, total: int) -> None:
        self._stage = (stage, done, total)


def _trim_heap() -> None:
    """glibc keeps what was freed for later use; a model's worth of it is too much to keep."""
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)
