"""The store that STORE names, for the routes that search it."""

from __future__ import annotations

import base64
import logging
import threading
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np
from anyio import CapacityLimiter
from numpy.typing import NDArray

from ..bulk.items import Unreadable
from ..checkpoints.config import PreprocessConfig
from ..engines.cores import available_cores
from ..errors import InvalidInput, InvalidStore, ModelMismatch, NotFound, RequestError, StoreUnavailable
from ..inputs.decoder_processes import DecoderProcesses
from ..runtime.embedding import Vector
from ..search.search_options import SAME_PICTURE
from .etag import file_etag

if TYPE_CHECKING:
    from ..search.listed_files import ListedFile
    from ..search.store import Store

log = logging.getLogger("openclip_api")

Answer = TypeVar("Answer")
MAX_ROOTS = 100  # that are told
MAX_SEARCHES = 4  # at a time: each takes all cores
NO_IMAGE = "no such item, or its image is gone"


class PageWanted(NamedTuple):
    """What a request says besides the query. under: a folder; fold: count copies instead of showing each."""

    k: int
    offset: int
    min_score: float | None
    filter: dict[str, Any]
    under: str | None
    fold: bool


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
        self.search_limit = CapacityLimiter(MAX_SEARCHES)  # each has some thousand rows in memory
        self.thumbnail_limit = CapacityLimiter(available_cores())  # each may decode the largest image

    def facts(self) -> dict[str, Any]:
        """What can be searched here: the model, how many rows, the names of the roots, the columns of a filter."""
        store = self._store()
        from ..search.filters import filterable
        from ..search.shown_rows import root_names

        def asked() -> dict[str, Any]:
            return {
                "model": store.model_id,
                "fingerprint": store.fingerprint,
                "rows": len(store),
                "roots": root_names(store.roots())[:MAX_ROOTS],
                "columns": filterable(store.schema),
            }

        return self._asked(asked)

    def check(self, fingerprint: str) -> None:
        """Raises ModelMismatch unless the store's vectors are of the model with this fingerprint."""
        store = self._store()
        if fingerprint != store.fingerprint:
            raise ModelMismatch(f"the store holds vectors of {store.model_id} with fingerprint {store.fingerprint}")

    def unit(self, vector: NDArray[np.floating], param: str) -> Vector:
        """A client's vector, of any length but 0 → [E], of a length that float32 holds. Raises InvalidInput."""
        embed_dim = self._store().embed_dim
        if vector.shape != (embed_dim,):
            raise InvalidInput(f"{param}: the store's vectors have {embed_dim} numbers", param)
        if not np.isfinite(vector).all() or not vector.any():
            raise InvalidInput(f"{param}: all numbers must be finite, and at least one not 0", param)
        return np.asarray(vector / np.abs(vector).max(), np.float32)

    def vector_of(self, id: str, param: str) -> Vector:
        """[E], of a row. Raises InvalidInput."""
        store = self._store()
        vector = self._asked(lambda: store.vector_of(id))
        if vector is None:
            raise InvalidInput(f"{param}: the store has no such id, or no vector for it", param)
        return vector

    def search(self, query: Vector, wanted: PageWanted) -> dict[str, Any]:
        """{"results": [..], "more": whether there is a next page}. query: [E]. Raises InvalidInput (filter, under)."""
        store = self._store()
        from ..search.filters import all_of, filter_expression
        from ..search.ranking import Wanted, page_of
        from ..search.shown_rows import clients_row
        from ..search.under import under

        def asked() -> dict[str, Any]:
            folder = None if wanted.under is None else under(store, wanted.under)
            filter = all_of([filter_expression(wanted.filter, store.schema), folder])
            fold = SAME_PICTURE if wanted.fold else None
            page = page_of(store, query, Wanted(wanted.k, wanted.offset, wanted.min_score, filter, fold))
            rows = (clients_row(row, with_copies=wanted.fold) for row in page.rows)
            results = [{name: _as_json(value) for name, value in row.items()} for row in rows]
            return {"results": results, "more": page.more}

        return self._asked(asked)

    def thumbnail(self, id: str, max_megapixels: float, is_known: Callable[[str], bool]) -> tuple[str, bytes | None]:
        """The ETag and a small JPEG, or None if the client has it. Raises NotFound if the id is not there, or if its
        image file cannot be read.
        """
        store = self._store()
        from ..search.thumbnails import file_thumbnail

        path = self._asked(lambda: store.path_of(id))
        try:
            if path is not None:
                etag = file_etag(Path(path).stat())
                if is_known(etag):
                    return etag, None
                return etag, file_thumbnail(path, max_megapixels, self._thumbnail_maker(max_megapixels))
        except Exception as error:  # the file is gone, damaged or no image: a decoder may raise anything
            log.debug("no thumbnail: %s", type(error).__name__)
        raise NotFound(NO_IMAGE)

    def file(self, id: str) -> tuple[ListedFile, str]:
        """The open file of a row, and its name. Raises NotFound if it may not be shown, or is no image."""
        store = self._store()
        from ..search.listed_files import LEADS_OUT, open_listed
        from ..search.shown_rows import name_and_folder

        columns = self._asked(lambda: store.file_columns(id))
        if columns is None:
            raise NotFound(NO_IMAGE)
        try:
            listed = open_listed(*columns)
        except Unreadable as error:
            raise NotFound(LEADS_OUT if str(error) == LEADS_OUT else NO_IMAGE) from error
        except (OSError, ValueError) as error:
            raise NotFound(NO_IMAGE) from error
        root, path, entry = columns
        return listed, name_and_folder({"root": root, "path": path, "entry": entry})[0]

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
