"""The vectors of the labels that were asked for last, up to a number of bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

import cachetools
import numpy as np
from numpy.typing import NDArray

ENTRY_BYTES = 600  # what Python needs beside the contents


@dataclass(frozen=True, slots=True)
class LabelVector:
    """vector [E]: the mean of the prompts' unit vectors, at length 1. truncated: how many of the prompts were cut."""

    vector: NDArray[np.float32]
    truncated: int

    @property
    def size(self) -> int:
        return self.vector.nbytes + ENTRY_BYTES


class LabelCache:
    """The least recently used label goes first. max_bytes 0 keeps nothing. Use it from one event loop."""

    def __init__(self, max_bytes: int) -> None:
        self._vectors: cachetools.LRUCache[bytes, LabelVector] = cachetools.LRUCache(max_bytes, lambda kept: kept.size)

    @property
    def size(self) -> int:
        """In bytes."""
        return int(self._vectors.currsize)

    def get(self, key: bytes) -> LabelVector | None:
        return self._vectors.get(key)

    def put(self, key: bytes, label: LabelVector) -> None:
        if label.size <= self._vectors.maxsize:
            self._vectors[key] = label


def label_keys(fingerprint: str, templates: Sequence[str], labels: Sequence[str]) -> list[bytes]:
    """A key for each label: two are equal if model, templates and label are."""
    common = sha256(fingerprint.encode())
    for template in templates:
        common.update(sha256(template.encode()).digest())
    keys = []
    for label in labels:
        own = common.copy()
        own.update(sha256(label.encode()).digest())
        keys.append(own.digest())
    return keys
