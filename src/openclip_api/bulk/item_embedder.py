"""What turns the contents of items into vectors: this process's model here, servers in remote_embedder.py."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Protocol, TypeAlias

from ..runtime.embedder import Embedder
from ..runtime.embedding import Embedding, Kind
from ..settings import Settings
from .ledger import ModelIdentity

LoadModel: TypeAlias = Callable[[Settings], Embedder]


class ItemEmbedder(Protocol):
    model: ModelIdentity
    reader_threads: int  # how many threads may be in `submit_blocking` at once

    def submit_blocking(self, kind: Kind, content: str | bytes) -> Future[Embedding]:
        """Start on one item; wait first while there is no room. The future gives what came of it.

        Raises Unreadable or RequestError where the item is at fault. Any other error ends the run.
        """


class LocalEmbedder:
    reader_threads = 8

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        info = embedder.info
        self.model = ModelIdentity(info.model_id, info.precision, info.fingerprint, info.embed_dim)

    def submit_blocking(self, kind: Kind, content: str | bytes) -> Future[Embedding]:
        return self._embedder.submit_blocking(kind, content)
