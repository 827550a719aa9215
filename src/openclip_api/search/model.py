"""The model of a store: loaded when the first item has to be embedded, and only then."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa

from ..bulk.item_embedder import ItemEmbedder
from ..checkpoints.sources import Source, read_source
from ..errors import StartupError
from ..settings import Settings
from .lock import has_table
from .schema import store_schema
from .store import ModelOrigin, Store


def settings_of(store: Store, settings: Settings) -> Settings:
    """The settings with the store's own model, unless they name one themselves."""
    origin = store.origin
    if origin is None or settings.model_fields_set & {"model_name", "model_pretrained"}:
        return settings
    update: dict[str, Any] = {"model_name": origin.model_name, "model_pretrained": origin.pretrained, "models": []}
    if "precision" not in settings.model_fields_set and origin.precision is not None:
        update["precision"] = origin.precision
    return settings.model_copy(update=update)


class StoreModel:
    """start: gives what embeds. Where there is no store yet, `store` makes one."""

    def __init__(self, path: Path, settings: Settings, start: Callable[[Settings], ItemEmbedder]) -> None:
        self.path, self._settings, self._start = path, settings, start
        self._embedder: ItemEmbedder | None = None
        self.existing: Store | None = Store(path) if has_table(path) else None
        if self.existing is not None:
            self._settings = settings_of(self.existing, settings)
            if self._names_another(self.existing):
                self.store({})  # it may be the same by another name; the vectors' fingerprint tells

    @property
    def embedder(self) -> ItemEmbedder:
        """Raises StartupError."""
        if self._embedder is None:
            self._embedder = self._start(self._settings)
        return self._embedder

    def store(self, extra: dict[str, pa.DataType]) -> Store:
        """The store, with these columns. Loads the model. Raises InvalidStore if the store's vectors are of another."""
        model = self.embedder.model
        if self.existing is None:
            origin = ModelOrigin(str(self._settings.default_model.source), None, model.precision)
            columns = store_schema(model.embed_dim, extra)
            self.existing = Store.create(self.path, columns, model.id, model.fingerprint, origin)
        else:
            self.existing.check(model.fingerprint)
            self.existing.add_columns(extra)
        return self.existing

    def _names_another(self, store: Store) -> bool:
        chosen, origin = self._settings, store.origin
        if origin is None or chosen.default_model.source != _source(origin):
            return True
        return chosen.precision not in ("auto", origin.precision)


def _source(origin: ModelOrigin) -> Source | None:
    try:
        return read_source(origin.model_name, origin.pretrained)
    except StartupError:  # such as a folder that is gone
        return None
