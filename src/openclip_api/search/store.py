"""Vectors and their rows in a LanceDB table: exact search in a small one, IVF-PQ in a large one.

Vectors are kept at unit length; the model's fingerprint is part of the table's schema.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import lancedb
import numpy as np
import pyarrow as pa
from lancedb.index import IvfPq
from numpy.typing import NDArray

from ..errors import InvalidStore
from ..runtime.embedding import unit_length
from .filters import COLUMN, id_is

Vector = NDArray[np.float32]  # [E]
WANTED_RECALL = 0.95
RECALL_AT = 10
COSINE = 0.3
PROBES = b"openclip.probes"
REFINE = b"openclip.refine"


class Store:
    """Raises InvalidStore: not there, not a store of this kind, or of another model than `fingerprint`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        if path.suffix != ".lance":
            raise InvalidStore(f"{path}: a store's name ends in .lance")
        self._database = lancedb.connect(path.parent, read_consistency_interval=timedelta(0))
        if not path.is_dir():
            raise InvalidStore(f"{path}: no such store; openclip-api index makes one")
        try:
            self._table = self._database.open_table(path.stem)
            facts = self.schema.metadata or {}
            self.model_id, self.fingerprint = (
                facts[key].decode() for key in (b"openclip.model", b"openclip.fingerprint")
            )
        except Exception as error:  # whatever a damaged folder makes of itself
            raise InvalidStore(f"{path}: not a store that openclip-api index made, or damaged") from error
        self.embed_dim = int(self.schema.field("vector").type.list_size)

    @classmethod
    def create(cls, path: Path, columns: pa.Schema, model_id: str, fingerprint: str) -> Store:
        """An empty one. columns: id, path, vector (unit length, float32) and what else a row has."""
        if path.suffix != ".lance":
            raise InvalidStore(f"{path}: a store's name ends in .lance")
        for name in columns.names:
            if not COLUMN.fullmatch(name):
                raise InvalidStore(f"column {name!r} cannot be in a store: letters, digits, _ and - only; rename it")
        path.parent.mkdir(parents=True, exist_ok=True)
        facts = {"openclip.model": model_id, "openclip.fingerprint": fingerprint}
        lancedb.connect(path.parent).create_table(path.stem, schema=columns.with_metadata(facts))
        return cls(path)

    @property
    def schema(self) -> pa.Schema:
        return self._table.schema

    def __len__(self) -> int:
        return int(self._table.count_rows())

    def check(self, fingerprint: str) -> None:
        if fingerprint != self.fingerprint:
            raise InvalidStore(
                f"{self.path}: holds vectors of {self.model_id} with fingerprint {self.fingerprint}, "
                f"the model here has {fingerprint}: set MODEL_NAME and PRECISION to what they were made with"
            )

    def add(self, rows: pa.Table) -> None:
        """A row whose id is there already takes its place; of two in `rows` the last one counts."""
        last = {id: index for index, id in enumerate(rows["id"].to_pylist())}
        rows = rows.take(sorted(last.values())).cast(self.schema)
        self._table.merge_insert("id").when_matched_update_all().when_not_matched_insert_all().execute(rows)

    def delete(self, ids: Sequence[str]) -> int:
        """How many there were."""
        before = len(self)
        self._table.delete(id_is(ids))
        return before - len(self)

    def get(self, id: str) -> dict[str, Any] | None:
        found = self._table.search().where(id_is([id])).select(["id", "path"]).limit(1).to_list()
        return found[0] if found else None

    def search(self, vector: Vector, k: int, where: str | None = None) -> list[dict[str, Any]]:
        """The k nearest rows without their vectors, `score` being the cosine, the greatest first.

        vector [E], of any length but 0; where: a condition of filters.sql_of.
        """
        query = self._query(vector, k)
        metadata = self.schema.field("vector").metadata or {}
        if PROBES in metadata:
            query = query.nprobes(int(metadata[PROBES])).refine_factor(int(metadata[REFINE]))
        if where is not None:
            query = query.where(where, prefilter=True)
        columns = [name for name in self.schema.names if name != "vector"]
        rows = query.select([*columns, "_distance"]).to_list()
        return [{**{name: row[name] for name in columns}, "score": 1 - row["_distance"]} for row in rows]

    def build_index(self, exact_below: int) -> float | None:
        """An IVF-PQ index over all rows, probed as widely as WANTED_RECALL takes; None where search stays exact.

        Returns the recall@10 that was measured against exact search.
        """
        if len(self) < exact_below:
            return None
        partitions = max(1, round(math.sqrt(len(self))))
        self._table.create_index(
            "vector",
            config=IvfPq(distance_type="cosine", num_partitions=partitions, num_sub_vectors=_parts(self.embed_dim)),
            replace=True,
        )
        queries = self._queries(50)
        exact = [self._ids(self._query(query, RECALL_AT).bypass_vector_index()) for query in queries]
        for probes, refine in _widths(partitions):
            found = [
                self._ids(self._query(query, RECALL_AT).nprobes(probes).refine_factor(refine)) for query in queries
            ]
            recall = float(np.mean([len(one & other) / len(one) for one, other in zip(exact, found, strict=True)]))
            if recall >= WANTED_RECALL:
                break
        self._table.update_field_metadata(
            {"path": "vector", "metadata": {PROBES.decode(): str(probes), REFINE.decode(): str(refine)}}
        )
        return recall

    def tidy(self) -> None:
        """Small files become large ones, and rows that an index lacks come into it."""
        self._table.optimize()

    def _query(self, vector: Vector, k: int) -> Any:
        query: Any = self._table.search(vector, vector_column_name="vector")
        return query.distance_type("cosine").limit(k)

    def _ids(self, query: Any) -> set[str]:
        return set(query.select(["id", "_distance"]).to_arrow()["id"].to_pylist())

    def _queries(self, count: int) -> list[Vector]:
        """As far from the rows as texts are from images, a cosine of some 0.3: harder than rows themselves."""
        draw = np.random.default_rng(0)
        chosen = draw.choice(len(self), size=min(count, len(self)), replace=False)
        rows = self._table.take_offsets(chosen.tolist()).select(["vector"]).to_arrow()["vector"].combine_chunks()
        vectors = rows.flatten().to_numpy().reshape(-1, self.embed_dim)
        noise = unit_length(draw.normal(size=vectors.shape).astype(np.float32))
        return list(COSINE * vectors + math.sqrt(1 - COSINE**2) * noise)


def _parts(dimensions: int) -> int:
    """Into how many parts product quantization cuts a vector: of eight numbers, or of the next more that divide it."""
    return (
        next(dimensions // size for size in range(8, dimensions + 1) if dimensions % size == 0)
        if dimensions >= 8
        else 1
    )


def _widths(partitions: int) -> Iterable[tuple[int, int]]:
    """How many partitions to look into, and how many times k candidates to compare exactly: more and more."""
    probes = 8
    while probes < partitions:
        yield probes, 10
        yield probes, 50
        probes *= 2
    yield partitions, 50
    yield partitions, 200
