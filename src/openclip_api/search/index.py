"""openclip-api index SOURCE... --store NAME.lance"""

from __future__ import annotations

from ..bulk.item_embedder import LoadModel, LocalEmbedder
from ..errors import InvalidSource
from ..settings import Settings
from .embeddings import add_run
from .listings import delete, forget, print_failures, print_roots
from .lock import locked
from .model import StoreModel
from .options import IndexOptions, store_path
from .store import Store
from .synchronize import print_recall, sync_sources
from .watch import keep_in_step


def index(options: IndexOptions, settings: Settings, load: LoadModel) -> int:
    """Bring the store in step with the sources, or do the one other thing that is asked for.

    Returns 0; 3 if some items could not be read; 1 if a source, an id or a root is not there.
    Raises RunError, StartupError.
    """
    others = [options.embeddings is not None, options.delete, options.forget, options.roots, options.failures]
    if sum(map(bool, [options.source, *others])) != 1:
        raise InvalidSource("name a SOURCE, or one of --embeddings, --delete, --failures, --roots and --forget")
    path = store_path(settings)
    if options.failures:
        return print_failures(Store(path), options.json)
    if options.roots:
        return print_roots(Store(path), options.json)
    with locked(path):
        if options.delete:
            return delete(Store(path), options.delete)
        if options.forget:
            return forget(Store(path), options.forget)
        if options.embeddings is not None:
            store = add_run(options.embeddings, path)
            print_recall(store.build_index(options.exact_below))
            print(f"{path}: {len(store):,} rows")
            return 0
        model = StoreModel(path, settings, lambda settings: LocalEmbedder(load(settings)))
        code = sync_sources(options, settings, model)
    if options.watch:
        keep_in_step(options, settings, model, lambda: locked(path))
    return code
