"""A repository in transformers' layout, or in sentence-transformers' around it, as a folder of the hub's cache."""

from __future__ import annotations

from pathlib import Path

from ...errors import HubUnreachable, UnknownModel
from .. import hub
from ..hub_weights import Where, download_transformers_weights
from .folder import CONFIG, FILES, MODULES, module_path, read_transformers_folder


def download_transformers_folder(repo: str, where: Where) -> Path:
    """Fetch what read_transformers_folder reads, and the weights; gives the weights' path, in the folder of all.

    What can be refused is refused before the weights are fetched.
    Raises hub.NoSuchFile where there is no config.json, and what read_transformers_folder and hub.download raise.
    """
    unreachable: list[HubUnreachable] = []
    modules = _optional(repo, MODULES, where, unreachable)
    path = module_path(modules).strip("/") if modules else ""
    folder = f"{path}/" if path else ""
    config = hub.download(repo, [folder + CONFIG], **where)
    where = {**where, "revision": hub.commit(config)}
    for name in FILES:
        if name != CONFIG:
            _optional(repo, folder + name, where, unreachable)
    try:
        read_transformers_folder(config.parent)
    except UnknownModel as error:
        raise HubUnreachable(f"{error}; and {unreachable[0]}") if unreachable else error from error
    return download_transformers_weights(repo, folder, **where)


def _optional(repo: str, name: str, where: Where, unreachable: list[HubUnreachable]) -> Path | None:
    """Without a network, what the cache lacks counts as not there: whoever reads the folder tells what is missing.

    unreachable: takes the error that says why the hub could not be asked.
    """
    try:
        return hub.download_if_there(repo, name, **where)
    except HubUnreachable as error:
        if hub.cached(repo, [CONFIG, MODULES], where["revision"], hub.cache_folder(where["cache_dir"])):
            unreachable.append(error)
            return None
        raise
