"""openclip-api embed SOURCE... --out DIR"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import pyarrow as pa

from .. import __version__
from ..errors import InvalidSource, MissingExtra
from ..settings import Settings
from .column_types import named
from .item_embedder import LoadModel, LocalEmbedder
from .items import SourceItem
from .ledger import LAYOUT, GoneRow, Ledger, ModelIdentity, RunIdentity
from .news import StoredRows, Survey, news, survey
from .options import EmbedOptions, SourceOptions
from .progress import Progress
from .remote_embedder import RemoteEmbedder
from .run import OutputSpec, write_failures, write_gone, write_lance_table, write_missing_shards
from .selection import Selection
from .sources import Sources
from .tables import Columns, ImageAccess, Role
from .urls import UrlReader

if TYPE_CHECKING:
    from .cluster import Cluster

WriteMissingShards: TypeAlias = Callable[[Iterable[SourceItem], Ledger, OutputSpec, Progress], None]

SOME_FAILED = 3
ROLES: dict[str, Role] = {"path_column": "path", "url_column": "url", "image_column": "image", "text_column": "text"}


def embed(options: EmbedOptions, settings: Settings, load: LoadModel) -> int:
    """0 if each item has a vector, 3 if some have none. Raises RunError, StartupError."""
    if options.format == "lance" and find_spec("lance") is None:
        raise MissingExtra("--format lance needs pylance: pip install 'openclip-api[lance]'")
    warnings.filterwarnings(
        "ignore", module="PIL"
    )  # they are about single images; one that fails is a row that says so
    sources = sources_of(options, settings)
    found_types = sources.kept_types()
    extra = {name: pa.string() if pa.types.is_null(type) else type for name, type in found_types.items()}
    found = survey(sources)
    if found.items == len(sources.damaged):
        raise InvalidSource(next(iter(sources.damaged), f"{', '.join(options.source)}: nothing to embed in it"))
    if options.ray:
        with _cluster(options.ray, settings, sources, load) as cluster:
            return _run(options, sources, found, extra, cluster.model, cluster.write_missing_shards)
    if options.server:
        with RemoteEmbedder(options.server, next(iter(settings.api_key), None)) as remote:
            return _run(options, sources, found, extra, remote.model, partial(write_missing_shards, remote))
    local = LocalEmbedder(load(settings))
    return _run(options, sources, found, extra, local.model, partial(write_missing_shards, local))


def _cluster(address: str, settings: Settings, sources: Sources, load: LoadModel) -> Cluster:
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # read on import: Ray would send usage statistics to its makers
    try:
        from .cluster import Cluster
    except ImportError as error:
        raise MissingExtra(f"--ray needs {error.name}: pip install 'openclip-api[ray]'") from error
    return Cluster(address, settings, sources.paths, load)


def _run(
    options: EmbedOptions,
    sources: Sources,
    found: Survey,
    extra: dict[str, pa.DataType],
    model: ModelIdentity,
    write: WriteMissingShards,
) -> int:
    output = OutputSpec(options.format, options.dtype, options.normalize, options.shard_rows, model.embed_dim, extra)
    ledger = Ledger(options.out, _identity(model, output))
    try:
        before = StoredRows(ledger, output.format)
        wanted = np.setdiff1d(found.stamps, before.stamps)
        with Progress(options.progress, found.items, found.items - len(wanted), 0) as progress:
            if found.duplicates:
                progress.warn(f"{found.duplicates} items have the id of an earlier one")
            write(news(sources, wanted), ledger, output, progress)
            gone = before.gone(found)
            failures = _end(ledger, options, output, found.items, gone)
            progress.finished()
            if gone:
                progress.warn(f"{len(gone)} rows belong to items that are gone: gone.parquet lists them")
        return SOME_FAILED if failures else 0
    finally:
        ledger.close()


def _end(ledger: Ledger, options: EmbedOptions, output: OutputSpec, items: int, gone: Sequence[GoneRow]) -> int:
    """Write what goes over all shards. Returns how many items failed."""
    if output.format == "lance":
        write_lance_table(ledger, options.out, output.layout)
    failures = write_failures(ledger, options.out, output.format, gone)
    write_gone(options.out, gone)
    ledger.end(items, gone)
    return failures


def _identity(model: ModelIdentity, output: OutputSpec) -> RunIdentity:
    return RunIdentity(
        openclip_api=__version__,
        layout=LAYOUT,
        model=model,
        format=output.format,
        dtype=output.dtype,
        normalize=output.normalize,
        shard_rows=output.shard_rows,
        columns={name: str(type) for name, type in output.extra.items()},
    )


def sources_of(options: SourceOptions, settings: Settings) -> Sources:
    """Raises InvalidSource."""
    max_bytes = int(settings.max_body_mb * 1e6)
    urls = UrlReader(settings.url_hosts, max_bytes, settings.url_timeout)
    selection = Selection(options.exclude, options.hidden)
    return Sources(options.source, _columns(options), ImageAccess(max_bytes, urls.fetch), selection)


def _columns(options: SourceOptions) -> Columns:
    for option, role in ROLES.items():
        if (name := getattr(options, option)) is not None:
            return Columns(role, name, options.id_column, tuple(options.keep), named(options.column_type))
    return Columns(id=options.id_column, keep=tuple(options.keep), types=named(options.column_type))
