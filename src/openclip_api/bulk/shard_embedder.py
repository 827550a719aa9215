"""A process of a Ray cluster that embeds whole shards. It writes nothing; cluster.py starts it."""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Sequence

from ..errors import InvalidSource
from ..settings import Settings
from .item_embedder import LoadModel, LocalEmbedder
from .items import SourceItem, printable
from .ledger import FinishedShard, ModelIdentity
from .run import OutputSpec, embed_shard


class ShardEmbedder:
    """Several threads may call `embed` at once: their shards share one model."""

    def __init__(self, load: LoadModel, settings: Settings, folder: str, sources: Sequence[str]) -> None:
        self._load, self._settings = load, settings
        self._folder, self._sources = folder, sources
        self._embedder: LocalEmbedder | None = None

    def start(self) -> ModelIdentity:
        """Look for the sources, load the model. Raises InvalidSource, StartupError."""
        warnings.filterwarnings("ignore", module="PIL")
        # Relative paths start in the folder where the command runs. A node may lack it: paths may all be absolute.
        with contextlib.suppress(OSError):
            os.chdir(self._folder)
        for path in self._sources:
            if not os.path.exists(path):
                raise InvalidSource(f"{printable(path)} is not there: each node must have the sources at the same path")
        self._embedder = LocalEmbedder(self._load(self._settings))
        return self._embedder.model

    def embed(self, items: Sequence[SourceItem], output: OutputSpec) -> FinishedShard:
        assert self._embedder is not None, "start comes first"
        return embed_shard(items, self._embedder, output)
