"""openclip-api embed SOURCE... --out DIR"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable
from dataclasses import asdict
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, TypeAlias

from .. import __version__
from ..errors import InvalidSource, MissingExtra
from ..runtime.embedder import Embedder
from ..settings import Settings
from .engine import LocalEngine, Model
from .formats import FOLDERS
from .items import Item
from .job import Output, run, write_failures, write_lance_table
from .ledger import Ledger
from .options import Options
from .progress import Progress
from .servers import Servers
from .sources import Sources, Survey, survey
from .tables import Columns, Reading, Role
from .urls import UrlReader

if TYPE_CHECKING:
    from .cluster import Cluster

Work: TypeAlias = Callable[[Iterable[Item], Ledger, Output, Progress], None]

SOME_FAILED = 3
ROLES: dict[str, Role] = {"path_column": "path", "url_column": "url", "image_column": "image", "text_column": "text"}


def embed(options: Options, settings: Settings, load: Callable[[], Embedder]) -> int:
    """Run the job; 0 when each item has a vector, 3 when some have none. Raises JobError, StartupError."""
    if options.format == "lance" and find_spec("lance") is None:
        raise MissingExtra("--format lance needs pylance: pip install 'openclip-api[lance]'")
    warnings.filterwarnings("ignore", module="PIL")  # of single images; what cannot be used is a row that failed
    max_bytes = int(settings.max_body_mb * 1e6)
    urls = UrlReader(settings.url_hosts, max_bytes, settings.url_timeout)
    sources = Sources(options.source, _columns(options), Reading(max_bytes, urls.fetch))
    extra = sources.kept_types()
    found = survey(sources)
    if not found.items:
        raise InvalidSource(f"{', '.join(options.source)}: nothing to embed in it")
    if options.ray:
        with _cluster(options.ray, settings, sources) as cluster:
            return _run(options, sources, found, extra, cluster.model, cluster.run)
    if options.server:
        with Servers(options.server, next(iter(settings.api_key), None)) as servers:
            return _run(options, sources, found, extra, servers.model, partial(run, servers))
    engine = LocalEngine(load())
    return _run(options, sources, found, extra, engine.model, partial(run, engine))


def _cluster(address: str, settings: Settings, sources: Sources) -> Cluster:
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # Ray would report to its makers; it looks once it is imported
    try:
        from .cluster import Cluster
    except ImportError as error:
        raise MissingExtra(f"--ray needs {error.name}: pip install 'openclip-api[ray]'") from error
    return Cluster(address, settings, sources.paths)


def _run(options: Options, sources: Sources, found: Survey, extra: dict[str, Any], model: Model, work: Work) -> int:
    output = Output(options.format, options.dtype, options.normalize, options.shard_rows, model.embed_dim, extra)
    ledger = Ledger(options.out, FOLDERS[output.format], _identity(model, found, output))
    try:
        with Progress(options.progress, found.items, ledger.rows, ledger.failures) as progress:
            if found.duplicates:
                progress.warn(f"{found.duplicates} items have an id that an earlier one has")
            work(sources, ledger, output, progress)
            if output.format == "lance":
                write_lance_table(ledger, options.out, output.layout)
            write_failures(ledger, options.out, options.format)
            progress.finished()
        return SOME_FAILED if ledger.failures else 0
    finally:
        ledger.close()


def _identity(model: Model, found: Survey, output: Output) -> dict[str, Any]:
    """What makes two runs the same: a later one goes on only where all of this is."""
    return {
        "openclip_api": __version__,
        "model": asdict(model),
        "source": {"items": found.items, "sha256": found.sha256},
        "format": output.format,
        "dtype": output.dtype,
        "normalize": output.normalize,
        "shard_rows": output.shard_rows,
        "columns": {name: str(type) for name, type in output.extra.items()},
    }


def _columns(options: Options) -> Columns | None:
    for option, role in ROLES.items():
        if name := getattr(options, option):
            return Columns(role, name, options.id_column, tuple(options.keep))
    if options.id_column or options.keep:
        raise InvalidSource("--id-column and --keep: also name the column to embed, with --image-column or another")
    return None
