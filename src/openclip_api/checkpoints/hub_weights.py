"""Which file of a hub repository has open_clip's weights, and where it lies once it is here.

Many repositories hold several copies: open_clip's, transformers' and timm's. `model.safetensors` and
`pytorch_model.bin` are what the other libraries call theirs, so these names alone say nothing.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from functools import partial
from pathlib import Path
from typing import TypedDict

from ..errors import CorruptCheckpoint, UnknownModel
from . import hub
from .forms import Form, form_of_file, form_of_names
from .safetensors import check_whole
from .shards import shards_of
from .tower_keys import tower_key
from .weight_files import stored_in

# open_clip's own names: open_clip/constants.py (3.3.0). Nobody else writes them.
OPEN_CLIPS = ("open_clip_model.safetensors", "open_clip_pytorch_model.safetensors", "open_clip_pytorch_model.bin")
ANYBODYS = ("model.safetensors", "pytorch_model.bin")
SHARDED = tuple(f"{name}.index.json" for name in ANYBODYS)

MAX_HEADER_BYTES = 25_000_000  # of a safetensors file on the hub; huggingface_hub has the same bound


class Where(TypedDict):
    """What all downloads of a checkpoint share."""

    revision: str | None
    cache_dir: Path | None
    report: hub.Report


def download_weights(
    repo: str,
    filename: str | None,
    *,
    revision: str | None = None,
    cache_dir: Path | None = None,
    report: hub.Report = lambda *_: None,
) -> Path:
    """The file with open_clip's weights, whole. `filename`: what open_clip's table names, if it names one.

    transformers' copy is fetched where the repository has no other; of timm's no more than the header.
    Raises UnknownModel where the repository has neither, and what hub.download raises.
    """
    where: Where = {"revision": revision, "cache_dir": cache_dir, "report": report}
    names = certain_names(filename)
    if path := cached_weights(repo, filename, cache_dir, revision):
        names = (path.name,)
    for name in names:
        if path := hub.download_if_there(repo, name, **where, check=check_weights):
            return path
    found = ""
    for name in ANYBODYS:
        form = _form_there(repo, name, where)
        if form == "open_clip":
            return hub.download(repo, [name], **where, check=check_weights)
        if form == "transformers":
            return download_transformers_weights(repo, "", **where)
        found += f"; its {name} is another library's, such as timm's image tower alone" if form else ""
        if found:  # beside it, pytorch_model.bin is the same library's
            break
    raise UnknownModel(f"{repo} has no weights of open_clip's ({', '.join((*names, *ANYBODYS))}){found}")


def download_transformers_weights(
    repo: str, folder: str, *, revision: str | None = None, cache_dir: Path | None = None, report: hub.Report
) -> Path:
    """The weights that transformers saved, or the index of their shards, which are then all there.

    folder: where they lie in the repository, such as "0_CLIPModel/", or "".
    Raises UnknownModel, and what hub.download raises.
    """
    names = [f"{folder}{name}" for pair in zip(ANYBODYS, SHARDED, strict=True) for name in pair]
    where: Where = {"revision": revision, "cache_dir": cache_dir, "report": report}
    path = hub.download(repo, names, **where, check=_check_unless_index)
    where["revision"] = hub.commit(path)
    for shard in shards_of(path) or ():
        hub.download(repo, [f"{folder}{shard}"], **where, check=check_weights)
    return path


def cached_weights(
    repo: str, filename: str | None, cache_dir: Path | None = None, revision: str | None = None
) -> Path | None:
    """open_clip's weights of a repository where the cache has them; asks no network."""
    cache = hub.cache_folder(cache_dir)
    if path := hub.cached(repo, certain_names(filename), revision, cache):
        return path
    for name in ANYBODYS:
        path = hub.cached(repo, [name], revision, cache)
        if path and form_of_file(path) == "open_clip":
            return path
    return None


def certain_names(filename: str | None) -> tuple[str, ...]:
    """The names whose content is known, safetensors first. A file that open_clip's table names is one of them."""
    if filename is None:
        return OPEN_CLIPS
    return (str(Path(filename).with_suffix(".safetensors")), *OPEN_CLIPS[:2], filename)


def check_weights(path: Path) -> None:
    """Raises StartupError for a file that is cut or of another kind; it may be one of several. Reads no tensor."""
    if path.suffix == ".safetensors":
        check_whole(path)
    else:
        stored = stored_in(path)
        stored.arrays({name: name for name in stored.names if tower_key(name) is not None})


def _check_unless_index(path: Path) -> None:
    if path.suffix != ".json":
        check_weights(path)
    elif shards_of(path) is None:
        raise CorruptCheckpoint(f"{path.resolve()} is not the index of a sharded checkpoint")


def _form_there(repo: str, name: str, where: Where) -> Form | None:
    """None where the repository has no such file. A pickle's names are known only once it is here."""
    cache = hub.cache_folder(where["cache_dir"])
    if path := hub.cached(repo, [name], where["revision"], cache):
        return form_of_file(path)
    if not name.endswith(".safetensors"):
        path = hub.download_if_there(repo, name, **where, check=check_weights)
        return form_of_file(path) if path else None
    try:
        return form_of_names(header_names(repo, name, where))
    except hub.NoSuchFile:
        return None


def header_names(repo: str, name: str, where: Where) -> Collection[str]:
    """The names of the tensors in a safetensors file on the hub, from its header alone.

    Raises CorruptCheckpoint for a file that is none, and what hub.first_bytes raises.
    """
    first_bytes = partial(hub.first_bytes, repo, name, revision=where["revision"], cache_dir=where["cache_dir"])
    size = int.from_bytes(first_bytes(0, 8), "little")
    if size > MAX_HEADER_BYTES:
        raise CorruptCheckpoint(f"{repo}: {name} is not a safetensors file")
    try:
        return list(json.loads(first_bytes(8, size)))
    except ValueError as error:
        raise CorruptCheckpoint(f"{repo}: {name} is not a safetensors file") from error
