"""What turns contents into vectors: this process's embedder here, servers in servers.py."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass
from typing import Protocol

from ..runtime.embedder import Embedder
from ..runtime.embedding import Embedding, Kind


@dataclass(frozen=True)
class Model:
    """What a run remembers of its model: two runs with the same may share a folder."""

    id: str
    precision: str
    fingerprint: str
    embed_dim: int


class Engine(Protocol):
    model: Model
    readers: int  # how many threads may call `start` at once

    def start(self, kind: Kind, content: str | bytes) -> Future[Embedding]:
        """Waits while there is no room. Raises what is the item's fault, or ends the job."""


class LocalEngine:
    readers = 8

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        info = embedder.info
        self.model = Model(info.model_id, info.precision, info.fingerprint, info.embed_dim)

    def start(self, kind: Kind, content: str | bytes) -> Future[Embedding]:
        return self._embedder.submit_blocking(kind, content)
