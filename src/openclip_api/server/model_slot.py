"""One model of the pool: unloaded, being loaded, or in memory."""

from __future__ import annotations

import gc
import logging
import time
from collections.abc import Callable
from typing import NamedTuple, TypeAlias

from ..checkpoints.hub import Report
from ..errors import NotReady, StartupError, first_line
from ..runtime.embedder import Embedder
from .freed_memory import malloc_trim

log = logging.getLogger("openclip_api")

LoadModel: TypeAlias = Callable[[Report], Embedder]


class Progress(NamedTuple):
    stage: str
    done_bytes: int = 0
    total_bytes: int = 0  # 0 where the stage is not counted in bytes


class ModelSlot:
    """`users` counts the requests that use the embedder. It may be unloaded only while there are none."""

    def __init__(self, load_model: LoadModel) -> None:
        self._load_model = load_model
        self._embedder: Embedder | None = None
        self._progress: Progress | None = None  # while it waits or loads
        self.error: StartupError | None = None  # of the last load
        self.model_id: str | None = None  # known after the first load
        self.load_seconds = 0.0
        self.users = 0
        self.used_at = 0.0

    @property
    def embedder(self) -> Embedder:
        """Raises NotReady while the model is not in memory."""
        if self._embedder is None:
            stage = self._progress.stage if self._progress else "unloaded"
            raise NotReady(f"the model is not ready yet ({stage}): try again shortly")
        return self._embedder

    @property
    def is_unloaded(self) -> bool:
        """Neither in memory nor being loaded."""
        return self._embedder is None and self._progress is None

    @property
    def loaded(self) -> Embedder | None:
        """The embedder if the model is in memory."""
        return self._embedder

    @property
    def is_idle(self) -> bool:
        return self._embedder is not None and self.users == 0

    def expect_load(self) -> None:
        """Tell that `load` will be called soon. From now on the slot does not count as unloaded."""
        self._progress = Progress("waiting")

    def load(self) -> None:
        """Load the model in the calling thread. Raises nothing; sets `error` where that fails.

        Whatever ends a load must end the start too, or the server would be loading for ever: also a defect of this
        program, and a panic in a library that is written in Rust, which is no Exception.
        """
        started = time.perf_counter()
        self.error, self._progress = None, Progress("starting")
        try:
            self._embedder = self._load_model(self._report)
            self.model_id = self._embedder.info.model_id
        except StartupError as error:
            self.error = error
        except BaseException as error:
            self.error = StartupError(f"the model could not be loaded ({type(error).__name__}: {first_line(error)})")
            log.debug("a model could not be loaded", exc_info=error)
        finally:
            self._progress = None
            self.used_at = time.monotonic()
            self.load_seconds = time.perf_counter() - started

    def loading_status(self) -> dict[str, object] | None:
        """For /ready: the stage, and during a download the bytes so far and in all. None if the model is in memory."""
        if self._embedder is not None:
            return None
        stage, done, total = self._progress or Progress("waiting")
        progress = {"progress": {"bytes": done, "total_bytes": total}} if total else {}
        return {"status": "loading", "stage": stage, **progress}

    def unload(self) -> None:
        """Close the embedder and give its memory back to the system."""
        embedder, self._embedder = self._embedder, None
        if embedder is not None:
            embedder.close()
            del embedder
            gc.collect()  # a tokenizer and its cache refer to each other
            if (trim := malloc_trim()) is not None:  # a whole model is too much to keep
                trim()

    def _report(self, stage: str, done: int, total: int) -> None:
        self._progress = Progress(stage, done, total)
