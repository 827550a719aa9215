"""openclip-api photos FOLDER: a server whose store follows a folder, and its page in the browser.

The server's own model embeds the photos: a thread of this process sends them to it as any client does. So there is one
model in memory, and what is in the store already can be searched while the rest is embedded.
"""

from __future__ import annotations

import hashlib
import os
import re
import signal
import socket
import threading
import webbrowser
from pathlib import Path
from typing import Any

import platformdirs

from ..bulk.items import printable
from ..bulk.places import absolute
from ..bulk.remote_embedder import RemoteEmbedder
from ..errors import InvalidSource, RunError, StartupError
from ..search.lock import has_table, locked
from ..search.model import StoreModel, settings_of
from ..search.options import PhotosOptions
from ..search.store import Store
from ..search.synchronize import say, sync_sources
from ..search.watch import keep_in_step
from ..settings import Settings
from .run import run


def photos(options: PhotosOptions, settings: Settings) -> int:
    """Serve until SIGTERM or SIGINT. Returns the exit code. Raises RunError, StartupError."""
    if not options.folder or not Path(options.folder).is_dir():
        raise InvalidSource(f"{printable(options.folder) or 'FOLDER'}: no such folder")
    settings = _settings(settings, settings.store or default_store(options.folder))
    say(f"the store is {settings.store}")
    follower = _Follower(options, settings)
    code = run(settings, on_ready=follower.start)
    if follower.is_embedding:
        say("interrupted; run the same command again to continue")
    return 1 if follower.failed else code


def default_store(folder: str) -> Path:
    """In the user's data folder, never among the photos. The same folder has the same store, however it is spelled."""
    path = absolute(folder)
    name = re.sub(r"[^A-Za-z0-9-]+", "_", Path(path).name)[:40] or "photos"
    digest = hashlib.blake2b(path.encode("utf-8", "surrogateescape"), digest_size=4).hexdigest()
    return platformdirs.user_data_path("openclip-api", appauthor=False) / "stores" / f"{name}-{digest}.lance"


def _settings(settings: Settings, store: Path) -> Settings:
    """With the store and its model. Where the user says nothing: for this machine only, a free port, a silent log."""
    if has_table(store):
        settings = settings_of(Store(store), settings)
    update: dict[str, Any] = {"store": store}
    if "host" not in settings.model_fields_set:
        update["host"] = "127.0.0.1"
    if "log_level" not in settings.model_fields_set:
        update["log_level"] = "warning"
    if "port" not in settings.model_fields_set and not _is_free(settings.port):
        update["port"] = 0
    return settings.model_copy(update=update)


def _is_free(port: int) -> bool:
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


class _Follower:
    """The thread that brings the store in step with the folder, once the server is ready."""

    def __init__(self, options: PhotosOptions, settings: Settings) -> None:
        self._options, self._settings = options, settings
        self.is_embedding = self.failed = False

    def start(self, url: str) -> None:
        threading.Thread(target=self._run, args=(url,), name="photos", daemon=True).start()

    def _run(self, url: str) -> None:
        try:
            self._follow(url)
        except (RunError, StartupError) as error:
            say(str(error))
            self.failed, self.is_embedding = True, False
            os.kill(os.getpid(), signal.SIGTERM)  # the server stops as if it was told to

    def _follow(self, url: str) -> None:
        assert self._settings.store is not None, "photos sets it"
        store, options = self._settings.store, self._options.sync_options()
        with RemoteEmbedder([url], next(iter(self._settings.api_key), None)) as remote:
            with locked(store):
                model = StoreModel(store, self._settings, lambda _: remote)
                model.store({})  # the page finds it, empty as it may be
                page = f"{url}/#search"
                say(f"search at {page} (Ctrl-C stops it)")
                if not self._options.no_browser:
                    webbrowser.open(page)
                self.is_embedding = True
                sync_sources(options, self._settings, model)
                self.is_embedding = False
            keep_in_step(options, self._settings, model, lambda: locked(store))
