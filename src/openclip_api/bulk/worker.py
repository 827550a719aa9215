"""One process of a cluster that embeds whole shards. It writes nothing; see cluster.py for who starts it."""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Sequence

from ..errors import InvalidSource
from ..runtime.loader import load
from ..settings import Settings
from .engine import LocalEngine, Model
from .items import Item, printable
from .job import Finished, Output, embed_shard


class Worker:
    """Its `embed` may be called from several threads: the shards share one engine."""

    def __init__(self, settings: Settings, folder: str, sources: Sequence[str]) -> None:
        self._settings = settings
        self._folder = folder
        self._sources = sources
        self._engine: LocalEngine | None = None

    def start(self) -> Model:
        """Look for the sources, load the model. Raises InvalidSource, StartupError."""
        warnings.filterwarnings("ignore", module="PIL")
        with contextlib.suppress(OSError):  # relative paths count from where the command runs; none may need it
            os.chdir(self._folder)
        for path in self._sources:
            if not os.path.exists(path):
                raise InvalidSource(f"{printable(path)} is not there: each node must have the sources at the same path")
        settings = self._settings
        embedder = load(settings.model_name, settings.tag, settings.load_options, model_id=settings.served_model_id)
        self._engine = LocalEngine(embedder)
        return self._engine.model

    def embed(self, items: Sequence[Item], output: Output) -> Finished:
        assert self._engine is not None, "start comes first"
        return embed_shard(items, self._engine, output)
