"""Vectors of the texts asked for last, up to a number of bytes."""

from __future__ import annotations

import sys
import threading
from collections import OrderedDict

import numpy as np
from numpy.typing import NDArray

from ..inputs.tokenizer import Tokens

ENTRY_BYTES = 600  # what Python itself needs for one: both arrays' heads, the Tokens, the places in the dictionary


class TextCache:
    """Least recently used goes first. max_bytes 0 keeps nothing. Safe to use from several threads."""

    def __init__(self, max_bytes: int) -> None:
        self.bytes = 0
        self._max_bytes = max_bytes
        self._entries: OrderedDict[str, tuple[Tokens, NDArray[np.float32]]] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, text: str) -> tuple[Tokens, NDArray[np.float32]] | None:
        with self._lock:
            if text in self._entries:
                self._entries.move_to_end(text)
            return self._entries.get(text)

    def put(self, text: str, tokens: Tokens, vector: NDArray[np.float32]) -> None:
        if not self._max_bytes:
            return
        vector = vector.copy()  # a row would keep its whole batch in memory
        vector.setflags(write=False)  # many may hold it
        size = _size(text, tokens, vector)
        if size > self._max_bytes:
            return
        with self._lock:
            if text in self._entries:
                return
            self._entries[text] = (tokens, vector)
            self.bytes += size
            while self.bytes > self._max_bytes:
                oldest, entry = self._entries.popitem(last=False)
                self.bytes -= _size(oldest, *entry)


def _size(text: str, tokens: Tokens, vector: NDArray[np.float32]) -> int:
    return sys.getsizeof(text) + tokens.ids.nbytes + vector.nbytes + ENTRY_BYTES
