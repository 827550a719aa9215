"""The models of this server: picked by name, loaded when asked for, put away when memory is bounded."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from ..errors import DeadlineExceeded, ModelNotFound, NotReady
from ..runtime.embedder import Embedder
from .model_slot import Load, Loading

log = logging.getLogger("openclip_api")


class Shelf:
    """`loads` maps each model's name, as the settings write it, to what loads it; the first is the default.

    At most `max_loaded` models are in memory at once (0: all); to load another, the one that was idle for
    the longest is put away. Use it from one event loop.
    """

    def __init__(self, loads: dict[str, Load], max_loaded: int = 0) -> None:
        self._loadings = {name: Loading(load) for name, load in loads.items()}
        self._max_loaded = max_loaded or len(loads)
        self._changing = asyncio.Lock()
        self._ready_once = False
        self.stopping = False

    @property
    def default(self) -> Loading:
        return next(iter(self._loadings.values()))

    @property
    def error(self) -> Exception | None:
        """What ended the first start of one of them."""
        return next((loading.error for loading in self._loadings.values() if loading.error is not None), None)

    def start(self, on_end: Callable[[], None]) -> None:
        """Load as many as memory is bounded to, one after the other, in a thread; then call `on_end` from it."""

        first = list(self._loadings.values())[: self._max_loaded]
        for loading in first:
            loading.announce()

        def work() -> None:
            try:
                for loading in first:
                    loading.run()
                    if loading.error is not None:
                        break
            finally:
                on_end()

        threading.Thread(target=work, name="loading", daemon=True).start()

    @asynccontextmanager
    async def use(self, name: str | None, timeout: float) -> AsyncIterator[Embedder]:
        """The embedder of a model by name (None: the default), which stays in memory meanwhile.

        Raises ModelNotFound, NotReady (it is being loaded for the first time), DeadlineExceeded.
        """
        loading = self._find(name)
        if loading.is_put_away:
            await self._bring_back(loading, timeout)
        embedder = loading.embedder
        loading.users += 1
        try:
            yield embedder
        finally:
            loading.users -= 1
            loading.used_at = time.monotonic()

    def names(self) -> list[str]:
        return list(self._loadings)

    def status(self) -> dict[str, Any]:
        """For /ready: ready once all that memory is bounded to were loaded, before that the one under way."""
        if self.stopping:
            return {"status": "stopping"}
        if not self._ready_once:
            for name, loading in list(self._loadings.items())[: self._max_loaded]:
                status = loading.status()
                if status["status"] != "ready":
                    return {**status, "model": name}
            self._ready_once = True
        return {"status": "ready"}

    def loaded(self) -> dict[str, Embedder]:
        """Those in memory."""
        return {name: loading.embedder for name, loading in self._loadings.items() if loading.is_loaded}

    @property
    def busy_seconds(self) -> float:
        """How long the engine that is longest at one batch has been at it; 0 when all are idle."""
        return max((embedder.busy_seconds for embedder in self.loaded().values()), default=0.0)

    def close(self) -> None:
        for loading in self._loadings.values():
            loading.put_away()

    def _find(self, name: str | None) -> Loading:
        """By its full name, its MODEL_ID, or what stands before the tag."""
        if name is None:
            return self.default
        for key, loading in self._loadings.items():
            if name in (key, loading.model_id):
                return loading
        before_tag = [loading for key, loading in self._loadings.items() if key.rpartition(":")[0] == name]
        if len(before_tag) == 1:
            return before_tag[0]
        raise ModelNotFound(f"model: not served here; served are {', '.join(self._loadings)}", "model")

    async def _bring_back(self, loading: Loading, timeout: float) -> None:
        async with self._changing:  # one change at a time: two loads at once would break the bound
            if not loading.is_put_away:
                return
            await self._make_room()
            try:
                await asyncio.wait_for(asyncio.to_thread(loading.run), timeout)
            except asyncio.TimeoutError as error:
                raise DeadlineExceeded(f"the model was not loaded within {timeout:g} seconds") from error
            if loading.error is not None:
                log.error("a model could not be loaded again: %s", loading.error)
                loading.error = None
                raise NotReady("the model could not be loaded again; the server's log says why")

    async def _make_room(self) -> None:
        loaded = [loading for loading in self._loadings.values() if not loading.is_put_away]
        if len(loaded) < self._max_loaded:
            return
        idle = sorted((loading for loading in loaded if loading.is_idle), key=lambda loading: loading.used_at)
        if not idle:
            raise NotReady("all models that fit into memory are busy: try again shortly")
        await asyncio.to_thread(idle[0].put_away)
