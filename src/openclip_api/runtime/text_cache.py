"""The embeddings of the texts that were asked for last, up to a number of bytes."""

from __future__ import annotations

import sys
import threading
from collections.abc import Hashable
from dataclasses import dataclass, replace

import cachetools

from .embedding import Embedding, Timings

ENTRY_BYTES = 600  # what Python needs beside the contents: both arrays' headers, the objects, the dictionary's slots


@dataclass(frozen=True, slots=True)
class _Entry:
    embedding: Embedding
    bytes: int


class TextCache:
    """The least recently used text goes first. max_bytes 0 keeps nothing. Safe to use from several threads."""

    def __init__(self, max_bytes: int) -> None:
        self._entries: cachetools.LRUCache[Hashable, _Entry] = cachetools.LRUCache(max_bytes, lambda entry: entry.bytes)
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def bytes(self) -> int:
        return int(self._entries.currsize)

    def get(self, text: str, language: str | None = None) -> Embedding | None:
        """The embedding, with timings of zero."""
        with self._lock:
            entry = self._entries.get(_key(text, language))
        return None if entry is None else entry.embedding

    def put(self, text: str, embedding: Embedding, language: str | None = None) -> None:
        """A text that is larger than the whole cache is not kept."""
        if not self._entries.maxsize:
            return
        vector = embedding.vector.copy()  # a row would keep its whole batch in memory
        vector.setflags(write=False)  # many answers may hold it
        token_bytes = 0 if embedding.tokens is None else embedding.tokens.ids.nbytes
        size = sys.getsizeof(text) + token_bytes + vector.nbytes + ENTRY_BYTES
        if size <= self._entries.maxsize:
            with self._lock:
                self._entries[_key(text, language)] = _Entry(replace(embedding, vector=vector, timings=Timings()), size)


def _key(text: str, language: str | None) -> Hashable:
    return text if language is None else (language, text)
