"""The store that STORE names, for the routes that search it."""

from __future__ import annotations

import base64
import logging
import threading
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..checkpoints.config import PreprocessConfig
from ..errors import InvalidInput, InvalidStore, ModelMismatch, NotFound, RequestError, StoreUnavailable
from ..inputs.decoder_processes import DecoderProcesses

if TYPE_CHECKING:
    from ..search.store import Store

log = logging.getLogger("openclip_api")

Answer = TypeVar("Answer")


class LazyStore:
    """Opens STORE at the first request for it, so that the server embeds even if the store is not there.

    decode_processes: how many may make thumbnails; 0 to make them in this process.
    Safe to use from several threads. Its methods raise NotFound without a STORE, and StoreUnavailable if the store
    cannot be read.
    """

    def __init__(self, path: Path | None, decode_processes: int = 0) -> None:
        self._path = path
        self._decode_processes = decode_processes
        self._decoders: DecoderProcesses | None = None
        self._lock = threading.Lock()
        self._open: Store | None = None

    def search(
        self, query: NDArray[np.floating], k: int, filter: dict[str, Any], fingerprint: str | None
    ) -> list[dict[str, Any]]:
        """The k nearest rows.

        query: [embed_dim], of any length but 0. fingerprint: of the model that made it, None where nobody knows.
        Raises InvalidInput (vector, filter), ModelMismatch.
        """
        store = self._store()
        from ..search.filters import filter_expression

        if fingerprint not in (None, store.fingerprint):
            raise ModelMismatch(f"the store holds vectors of {store.model_id} with fingerprint {store.fingerprint}")
        if query.shape != (store.embed_dim,):
            raise InvalidInput(f"vector: the store's have {store.embed_dim} numbers", "vector")
        if not np.isfinite(query).all() or not query.any():
            raise InvalidInput("vector: all numbers must be finite, and one not 0", "vector")
        unit = (query / np.abs(query).max()).astype(np.float32)  # float32 can hold it now, whatever its length was
        rows = self._asked(lambda: store.search(unit, k, filter_expression(filter, store.schema)))
        return [{name: _as_json(value) for name, value in row.items() if name != "path"} for row in rows]

    def thumbnail(self, id: str, max_megapixels: float) -> bytes:
        """A small JPEG. Raises NotFound if the id is not there, or if its image file cannot be read."""
        store = self._store()
        from ..search.thumbnails import file_thumbnail

        path = self._asked(lambda: store.path_of(id))
        try:
            if path is not None:
                return file_thumbnail(path, max_megapixels, self._thumbnail_maker(max_megapixels))
        except Exception as error:  # the file is gone, damaged or no image: a decoder may raise anything
            log.debug("no thumbnail: %s", type(error).__name__)
        raise NotFound("no such item, or its image is not there any more")

    def close(self) -> None:
        if self._decoders is not None:
            self._decoders.close()

    def _thumbnail_maker(self, max_megapixels: float) -> Callable[[bytes], bytes] | None:
        """Files of a store may be what strangers have uploaded, so they are decoded as their requests are."""
        if not self._decode_processes:
            return None
        with self._lock:
            if self._decoders is None:
                config, count = PreprocessConfig(), self._decode_processes
                self._decoders = DecoderProcesses(config, max_megapixels, count, thumbnails=True)
        return self._decoders.thumbnail

    def _asked(self, ask: Callable[[], Answer]) -> Answer:
        try:
            return ask()
        except RequestError:
            raise
        except Exception as error:
            with self._lock:
                self._open = None
            log.warning("the store %s cannot be read: %s", self._path, type(error).__name__)
            raise StoreUnavailable("the store cannot be read") from error

    def _store(self) -> Store:
        if self._path is None:
            raise NotFound("nothing to search here: the server was started without STORE")
        from ..search.store import Store

        with self._lock:
            if self._open is None:
                try:
                    self._open = Store(self._path)
                except InvalidStore as error:
                    log.warning("%s", error)
                    raise StoreUnavailable("the store is not there, or cannot be read") from error
            return self._open


def _as_json(value: object) -> object:
    """A column's value in JSON's types, and in times, which the encoder knows. Bytes become base64."""
    if isinstance(value, dict):
        return {str(name): _as_json(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_as_json(part) for part in value]
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return str(value) if isinstance(value, (Decimal, timedelta)) else value
