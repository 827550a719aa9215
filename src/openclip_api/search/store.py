"""Vectors and their rows in a LanceDB table: exact search in a small one, IVF-PQ in a large one.

Vectors are kept at unit length; the model's fingerprint is part of the table's schema.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import lancedb
import numpy as np
import pyarrow as pa
from lancedb.expr import Expr, col
from lancedb.index import IvfPq
from numpy.typing import NDArray

from ..bulk.column_types import wider_type
from ..bulk.items import printable
from ..errors import CannotWrite, InvalidStore
from ..runtime.embedding import unit_length
from .index_size import search_widths, sub_vectors
from .options import check_name
from .schema import COLUMN_NAME, FILE_COLUMNS, INTERNAL, LAYOUT, OWN_COLUMNS, check_extra, file_of, in_microseconds
from .writing import writing

Vector = NDArray[np.float32]  # [E]
Result: TypeAlias = dict[str, object]  # the row's columns but for its vector, and `score`

WANTED_RECALL = 0.95
RECALL_AT = 10
QUERY_COSINE = 0.3
OLDEST_READER = timedelta(hours=1)  # a search that began before a change still reads the version from before it
PROBES = b"openclip.probes"
REFINE = b"openclip.refine"
TRAINED = b"openclip.trained"  # how many rows there were when the index was built
WORTH_TRAINING = 1.5  # times as many rows get a new index
MANY_FILES = 32
TOO_FEW_DIFFERENT = "non-empty clusters"  # in Lance's error where most vectors are equal to others


class ModelOrigin(NamedTuple):
    """The settings that load a store's model: MODEL_NAME, MODEL_PRETRAINED and PRECISION."""

    model_name: str
    pretrained: str | None
    precision: str | None


class Store:
    """Raises InvalidStore if there is no store at `path`, or it cannot be read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        check_name(path)
        self._database = lancedb.connect(path.parent, read_consistency_interval=timedelta(0))
        if not path.is_dir():
            raise InvalidStore(f"{path}: no such store; openclip-api index makes one")
        try:
            self._table = self._database.open_table(path.stem)
            self._facts: dict[bytes, bytes] = self.schema.metadata or {}
            self.model_id, self.fingerprint = (
                self._facts[key].decode() for key in (b"openclip.model", b"openclip.fingerprint")
            )
        except Exception as error:  # Lance raises many types for a damaged folder
            raise InvalidStore(f"{path}: not a store that openclip-api index made, or damaged") from error
        if self._facts.get(b"openclip.layout") != LAYOUT:
            raise InvalidStore(f"{path}: made by an older version; index the sources again, into a new store")
        self.embed_dim = int(self.schema.field("vector").type.list_size)

    @classmethod
    def create(
        cls, path: Path, columns: pa.Schema, model_id: str, fingerprint: str, origin: ModelOrigin | None = None
    ) -> Store:
        """A new, empty store. columns: of schema.store_schema."""
        check_name(path)
        for name in columns.names:
            if not COLUMN_NAME.fullmatch(name):
                raise InvalidStore(f"column {name!r} cannot be in a store: letters, digits, _ and - only; rename it")
        facts = {"openclip.model": model_id, "openclip.fingerprint": fingerprint, "openclip.layout": LAYOUT.decode()}
        if origin is not None:
            facts |= {f"openclip.{name}": value for name, value in origin._asdict().items() if value is not None}
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)  # the folder itself may be there, with a lock in it
            lancedb.connect(path.parent).create_table(path.stem, schema=columns.with_metadata(facts))
        return cls(path)

    @property
    def origin(self) -> ModelOrigin | None:
        """How to load the store's model; None where nobody wrote it down."""
        names = (self._facts.get(f"openclip.{name}".encode()) for name in ModelOrigin._fields)
        name, pretrained, precision = (value.decode() if value is not None else None for value in names)
        return ModelOrigin(name, pretrained, precision) if name is not None else None

    @property
    def schema(self) -> pa.Schema:
        return self._table.schema

    def __len__(self) -> int:
        """How many rows have a vector."""
        return int(self._table.count_rows("vector is not null"))

    def check(self, fingerprint: str) -> None:
        """Raises InvalidStore if the vectors are of another model than the one with this fingerprint."""
        if fingerprint != self.fingerprint:
            raise InvalidStore(
                f"{self.path}: holds vectors of {self.model_id} with fingerprint {self.fingerprint}, but the model "
                f"here has {fingerprint}. Set MODEL_NAME, PRECISION and IMAGE_READING as when the store was made"
            )

    def add(self, rows: pa.Table) -> None:
        """Add rows, all or none. Raises CannotWrite, as whatever writes here does.

        A row replaces the one with the same id; of several in `rows` with one id, the last one counts.
        """
        last = {id: index for index, id in enumerate(rows["id"].to_pylist())}
        rows = rows.take(sorted(last.values())).cast(self.schema)
        merge = self._table.merge_insert("id").when_matched_update_all().when_not_matched_insert_all()
        with writing(self.path):
            merge.execute(rows, on_bad_vectors="null")  # else it refuses the rows of failures, which have none

    def delete(self, ids: Sequence[str]) -> None:
        if ids:
            with writing(self.path):
                self._table.delete(col("id").isin(ids))

    def add_columns(self, extra: Mapping[str, pa.DataType]) -> None:
        """Add those that are missing, as null for all rows; widen those that have to hold more now.

        Raises InvalidStore where one has another type.
        """
        check_extra(extra)
        extra = {
            name: pa.string() if type == pa.null() else type
            for name, type in extra.items()
            if type != pa.null() or name not in self.schema.names
        }
        wider, known_types = {}, self.kept_types()
        for name, type in extra.items():
            known = known_types.get(name, type)
            both = wider_type(known, type)
            if both is None:
                raise InvalidStore(f"{self.path}: column {name!r} is {known}, not {type}; rename one of the two")
            if name in self.schema.names and both != self.schema.field(name).type:
                wider[name] = both
        if wider:
            self._rewrite(wider)
        if missing := [pa.field(name, type) for name, type in extra.items() if name not in self.schema.names]:
            with writing(self.path):
                self._table.add_columns(missing)

    def _rewrite(self, types: Mapping[str, pa.DataType]) -> None:
        """All rows with other types, in one new version of the table. It has no index, until build_index makes one."""
        fields = [pa.field(field.name, types.get(field.name, field.type), field.nullable) for field in self.schema]
        schema = pa.schema(fields, self.schema.metadata)
        batches = self._table.search().limit(None).to_batches()
        cast = (pa.Table.from_batches([each]).select(schema.names).cast(schema, safe=False) for each in batches)
        rows = pa.RecordBatchReader.from_batches(schema, (batch for table in cast for batch in table.to_batches()))
        with writing(self.path):
            self._table = self._database.create_table(
                self.path.stem, rows, schema, mode="overwrite", on_bad_vectors="null"
            )

    def columns(self, names: Sequence[str], filter: Expr | None = None) -> pa.Table:
        """These columns of all rows, or of those that a filter leaves; failures too."""
        query: Any = self._table.search().select(list(names)).limit(None)
        return (query if filter is None else query.where(filter)).to_arrow()

    def kept_types(self) -> dict[str, pa.DataType]:
        """The types of the columns of --keep; null where no row has a value."""
        names = [name for name in self.schema.names if name not in OWN_COLUMNS.names and name != "vector"]
        has_value = {name: self._table.search().where(f"`{name}` is not null").limit(1).to_list() for name in names}
        return {name: self.schema.field(name).type if has_value[name] else pa.null() for name in names}

    def kept(self, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Of each row with one of these ids the columns of --keep; nothing where the store has none."""
        names = [name for name in self.schema.names if name not in OWN_COLUMNS.names and name != "vector"]
        if not names or not ids:
            return {}
        rows = in_microseconds(self.columns(["id", *names], col("id").isin(ids))).to_pylist()
        return {row["id"]: row for row in rows}

    def rows(self, ids: Sequence[str]) -> pa.Table:
        """The whole rows with these ids, in no order."""
        return self._table.search().where(col("id").isin(ids)).limit(None).to_arrow().cast(self.schema)

    def file_columns(self, id: str) -> tuple[str, str, str | None] | None:
        """Root, path and entry of a row: the arguments of `file_of`. None if there is no such row."""
        found = self._table.search().where(col("id") == id).select(FILE_COLUMNS).limit(1).to_list()
        return (found[0]["root"], found[0]["path"], found[0]["entry"]) if found else None

    def path_of(self, id: str) -> str | None:
        """The file that a row was made from, on this machine."""
        columns = self.file_columns(id)
        return file_of(*columns) if columns else None

    def vector_of(self, id: str) -> Vector | None:
        """[E]. None if there is no such row, or it has no vector."""
        found = self._table.search().where(col("id") == id).select(["vector"]).limit(1).to_list()
        return np.array(found[0]["vector"], np.float32) if found and found[0]["vector"] is not None else None

    def roots(self) -> list[str]:
        """The folders, tables, archives and single files that rows belong to, as they stand in the column."""
        return sorted(self.columns(["root"])["root"].unique().to_pylist()) if "root" in self.schema.names else []

    def search(self, vector: Vector, k: int, filter: Expr | None = None) -> list[Result]:
        """The k nearest rows, the greatest cosine first; `score` is the cosine.

        vector: [E], of any length but 0. filter: of filters.filter_expression.
        """
        columns = [name for name in self.schema.names if name != "vector"]
        return [_shown(row) for row in self.nearest(vector, k, filter, columns).to_pylist()]

    def nearest(self, vector: Vector, k: int, filter: Expr | None, columns: Sequence[str]) -> pa.Table:
        """These columns of the rows as they stand in the table, and `_distance`, which is 1 - cosine."""
        query = self._query(vector, k)
        metadata = self.schema.field("vector").metadata or {}
        if PROBES in metadata:
            query = query.nprobes(int(metadata[PROBES])).refine_factor(int(metadata[REFINE]))
        if filter is not None:
            query = query.where(filter, prefilter=True)
        return in_microseconds(query.select([*columns, "_distance"]).to_arrow())

    def build_index(self, exact_below: int) -> float | None:
        """Build an IVF-PQ index over all rows, and search twice as many partitions as WANTED_RECALL takes.

        Returns the recall@10 that was measured against exact search; None where search stays exact, or the index is
        for most of the rows already.
        """
        count = len(self)
        metadata = self.schema.field("vector").metadata or {}
        if count < exact_below or count < WORTH_TRAINING * int(metadata.get(TRAINED, 0)):
            return None
        partitions = max(1, round(math.sqrt(count)))
        config = IvfPq(distance_type="cosine", num_partitions=partitions, num_sub_vectors=sub_vectors(self.embed_dim))
        try:
            with writing(self.path):
                self._table.create_index("vector", config=config, replace=True)
        except CannotWrite as error:
            if TOO_FEW_DIFFERENT not in str(error):
                raise
            self._note({TRAINED: count})  # search stays exact; it is tried again when there are many more
            return None
        queries = self._sample_queries(50)
        exact = [self._ids(self._query(query, RECALL_AT).bypass_vector_index()) for query in queries]
        for probes, refine in search_widths(partitions):
            found = [
                self._ids(self._query(query, RECALL_AT).nprobes(probes).refine_factor(refine)) for query in queries
            ]
            recall = float(np.mean([len(one & other) / len(one) for one, other in zip(exact, found, strict=True)]))
            if recall >= WANTED_RECALL:
                break
        probes = min(2 * probes, partitions)  # texts of people are harder than these queries
        self._note({PROBES: probes, REFINE: refine, TRAINED: count})
        return recall

    def _note(self, facts: Mapping[bytes, int]) -> None:
        with writing(self.path):
            metadata = {key.decode(): str(value) for key, value in facts.items()}
            self._table.update_field_metadata({"path": "vector", "metadata": metadata})

    def optimize(self) -> None:
        """Where there are many small files: merge them, add to the index the rows that it lacks, drop old versions."""
        stats: Any = self._table.stats()  # a dict, unlike its declared type
        if stats["fragment_stats"]["num_small_fragments"] < MANY_FILES:
            return
        with writing(self.path):
            self._table.optimize(cleanup_older_than=OLDEST_READER)

    def _query(self, vector: Vector, k: int) -> Any:
        query: Any = self._table.search(vector, vector_column_name="vector")
        return query.distance_type("cosine").limit(k)

    def _ids(self, query: Any) -> set[str]:
        return set(query.select(["id", "_distance"]).to_arrow()["id"].to_pylist())

    def _sample_queries(self, count: int) -> list[Vector]:
        """Queries with a cosine of 0.3 to a row, as a text has to its image: harder than the rows themselves."""
        draw = np.random.default_rng(0)
        chosen = draw.choice(len(self), size=min(count, len(self)), replace=False)
        chosen_rows = self._table.take_offsets(chosen.tolist()).select(["vector"]).to_arrow()
        rows = chosen_rows["vector"].combine_chunks().drop_null()
        vectors = rows.flatten().to_numpy().reshape(-1, self.embed_dim)
        noise = unit_length(draw.normal(size=vectors.shape).astype(np.float32))
        return list(QUERY_COSINE * vectors + math.sqrt(1 - QUERY_COSINE**2) * noise)


def _shown(row: dict[str, Any]) -> Result:
    """A row as users see it: `path` is the whole path of its file, if it has one."""
    score = 1 - row.pop("_distance")
    if "root" in row:
        row["path"] = printable(file_of(*(row[name] for name in FILE_COLUMNS)) or row["path"])
    return {**{name: value for name, value in row.items() if name not in INTERNAL}, "score": score}
