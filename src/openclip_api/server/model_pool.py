"""The models of this server: found by name, loaded when they are needed, unloaded when memory is bounded."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import NamedTuple

import anyio

from ..errors import DeadlineExceeded, ModelNotFound, NotReady, StartupError
from ..runtime.embedder import Embedder
from .model_slot import LoadModel, ModelSlot

log = logging.getLogger("openclip_api")


class Readiness(NamedTuple):
    is_ready: bool
    shown: dict[str, object]  # by /ready


class ModelPool:
    """A slot for each model. `models` maps its name, as the settings write it, to the function that loads it.

    The first model is the default. At most `max_loaded` models are in memory at once (0: all). To load one more,
    the pool unloads the model that was idle for the longest time. Use it from one event loop.
    others_are_ready: whether the server's other workers are.
    """

    def __init__(
        self,
        models: Mapping[str, LoadModel],
        max_loaded: int = 0,
        others_are_ready: Callable[[], bool] = lambda: True,
    ) -> None:
        self._slots = {name: ModelSlot(load_model) for name, load_model in models.items()}
        self._max_loaded = max_loaded or len(models)
        self._others_are_ready = others_are_ready
        self._changing = asyncio.Lock()
        self._was_ready = False
        self.stopping = False
        self.error: StartupError | None = None  # what ended the start; an error of a later load belongs to its request

    @property
    def default(self) -> ModelSlot:
        return next(iter(self._slots.values()))

    @property
    def is_ready(self) -> bool:
        return self.readiness().is_ready

    @property
    def busy_seconds(self) -> float:
        """The age of the oldest batch that an engine computes now; 0 when all are idle."""
        return max((embedder.busy_seconds for embedder in self.loaded().values()), default=0.0)

    def start(self, on_end: Callable[[], None]) -> None:
        """`load_first` in a thread, which calls `on_end` at the end."""
        for slot in self._first_slots().values():
            if slot.is_unloaded:
                slot.expect_load()

        def work() -> None:
            self.load_first()
            on_end()

        threading.Thread(target=work, name="loading", daemon=True).start()

    def load_first(self) -> None:
        """Load the first `max_loaded` models, one after the other, up to the first `error`. What is there stays."""
        for slot in self._first_slots().values():
            if slot.loaded is None:
                slot.load()
            if slot.error is not None:
                self.error = slot.error
                break

    @asynccontextmanager
    async def use(self, name: str | None, timeout: float) -> AsyncIterator[Embedder]:
        """The embedder of the model with this name (None: the default). It stays in memory during the block.

        timeout: seconds to wait for a model that must be loaded again.
        Raises ModelNotFound, NotReady (the model is being loaded for the first time), DeadlineExceeded.
        """
        slot = self._find(name)
        if slot.is_unloaded:
            await self._reload(slot, timeout)
        embedder = slot.embedder
        slot.users += 1
        try:
            yield embedder
        finally:
            slot.users -= 1
            slot.used_at = time.monotonic()

    def check(self, name: str) -> None:
        """Raises ModelNotFound."""
        self._find(name)

    def names(self) -> list[str]:
        return list(self._slots)

    def readiness(self) -> Readiness:
        """Ready once the models that `start` loads were all in memory. Before that it shows the first that is not."""
        if self.stopping:
            return Readiness(False, {"status": "stopping"})
        if not self._was_ready:
            for name, slot in self._first_slots().items():
                if (loading := slot.loading_status()) is not None:
                    return Readiness(False, {**loading, "model": name})
            if not self._others_are_ready():
                return Readiness(False, {"status": "loading", "stage": "starting the other workers"})
            self._was_ready = True
        return Readiness(True, {"status": "ready"})

    def loaded(self) -> dict[str, Embedder]:
        """The embedders in memory by their models' names."""
        return {name: embedder for name, slot in self._slots.items() if (embedder := slot.loaded) is not None}

    def close(self) -> None:
        for slot in self._slots.values():
            slot.unload()

    def _first_slots(self) -> dict[str, ModelSlot]:
        return dict(list(self._slots.items())[: self._max_loaded])

    def _find(self, name: str | None) -> ModelSlot:
        """By the full name, by MODEL_ID, or by the part before the tag where that is unique. Raises ModelNotFound."""
        if name is None:
            return self.default
        for full_name, slot in self._slots.items():
            if name in (full_name, slot.model_id):
                return slot
        before_tag = [slot for full_name, slot in self._slots.items() if full_name.rpartition(":")[0] == name]
        if name and len(before_tag) == 1:
            return before_tag[0]
        raise ModelNotFound(f"model: not served here; this server has {', '.join(self._slots)}", "model")

    async def _reload(self, slot: ModelSlot, timeout: float) -> None:
        """Raises NotReady, DeadlineExceeded."""
        async with self._changing:  # two loads at the same time would break the bound
            if not slot.is_unloaded:
                return
            await self._make_room()
            try:
                with anyio.fail_after(timeout):
                    await asyncio.to_thread(slot.load)
            except TimeoutError as error:
                raise DeadlineExceeded(f"the model was not loaded within {timeout:g} seconds") from error
            if slot.error is not None:
                log.error("a model could not be loaded again: %s", slot.error)
                raise NotReady("the model could not be loaded again; the server's log says why")

    async def _make_room(self) -> None:
        """Raises NotReady when no model can be unloaded."""
        loaded = [slot for slot in self._slots.values() if not slot.is_unloaded]
        if len(loaded) < self._max_loaded:
            return
        idle = sorted((slot for slot in loaded if slot.is_idle), key=lambda slot: slot.used_at)
        if not idle:
            raise NotReady("all models that fit into memory are busy: try again shortly")
        await asyncio.to_thread(idle[0].unload)
