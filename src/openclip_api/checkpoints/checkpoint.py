"""A source → Checkpoint: all files of a model, found, their weights not read yet."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from ..errors import CorruptCheckpoint, HubUnreachable, UnknownModel
from . import hub, registry
from .config import CONFIG_FILE, ModelConfig, PreprocessConfig, preprocess_config, read_config
from .digest import file_sha256
from .folder_weights import weights_in
from .hints import near_repository
from .hub_weights import Where, download_weights
from .other_folders import without_config
from .sources import BuiltIn, HubRepository, LocalFile, LocalFolder, Pair, Source, read_source
from .tokenizer_files import TOKENIZER_FILES, folders_tokenizer, hub_tokenizer
from .transformers_layout.folder import CONFIG, MODULES, is_transformers_folder, model_folder, read_transformers_folder
from .transformers_layout.keys import open_clip_tensors
from .transformers_layout.repository import download_transformers_folder
from .transformers_layout.texts import tokenizer_form
from .weight_files import read_weights
from .weights import Weights


@dataclass(frozen=True)
class Checkpoint:
    """tokenizer: a folder with TOKENIZER_FILES, or None for CLIP's own vocabulary.

    sha256: the digest that the hub's cache promises for the weights, or None.
    warning: what is not sure about the config, and how to make it so.
    """

    model_id: str
    name: str
    tag: str | None
    config: ModelConfig
    preprocess: PreprocessConfig
    weights: Path
    tokenizer: Path | None
    sha256: str | None = None
    warning: str | None = None

    def read(self) -> Weights:
        """Map the weights, by open_clip's names. Raises CorruptCheckpoint, UnsupportedModel."""
        return open_clip_tensors(read_weights(self.weights), self.config)

    def verify(self, weights_sha256: str) -> None:
        """Raises CorruptCheckpoint where the weights are not what the hub promised."""
        if self.sha256 not in (None, weights_sha256):
            # Name the file behind the cache's links: to delete a link would bring the same bytes back.
            raise CorruptCheckpoint(
                f"{self.weights.resolve()} is damaged (its SHA-256 is {weights_sha256[:12]}…, "
                f"the hub's {str(self.sha256)[:12]}…): delete it and start again"
            )

    def fingerprint(self, weights_sha256: str, precision: str) -> str:
        """16 hex digits over everything that can change a vector. Its bytes must never change for the same model."""
        facts = [weights_sha256, self.config.as_written, self.preprocess.facts(), self._tokenizer_sha256(), precision]
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]

    def _tokenizer_sha256(self) -> list[str]:
        if self.tokenizer is None:
            return []
        files = [self.tokenizer / name for name in TOKENIZER_FILES]
        if not files[0].is_file():
            files = [self.tokenizer / name for name in (*tokenizer_form(self.tokenizer), *TOKENIZER_FILES[1:])]
        return [file_sha256(path) for path in files if path.is_file()]


def find(
    source: Source | str,
    pretrained: str | None = None,
    *,
    cache_dir: Path | None = None,
    report: hub.Report = lambda *_: None,
) -> Checkpoint:
    """Find a checkpoint, downloading what is missing. source, pretrained: a Source, or what read_source reads.

    Raises InvalidSetting, UnknownModel, UnsupportedModel, CorruptCheckpoint, HubUnreachable.
    """
    if isinstance(source, str):
        source = read_source(source, pretrained)
    match source:
        case BuiltIn(name):
            return _from_folder(Path(str(resources.files(__package__))) / "builtin" / name, name)
        case Pair():
            return _from_table(source, cache_dir, report)
        case HubRepository():
            return _from_repo(source, cache_dir, report)
        case LocalFolder(path):
            return _from_folder(path, str(source))
        case LocalFile(path, None):
            return _from_file_alone(path)
        case LocalFile():
            return _from_file(source, cache_dir, report)


def _from_table(pair: Pair, cache_dir: Path | None, report: hub.Report) -> Checkpoint:
    entry = registry.pretrained(pair.name, pair.tag)
    tokenizer = hub_tokenizer(entry.config, cache_dir, report)
    weights = download_weights(entry.repo, entry.filename, cache_dir=cache_dir, report=report)
    return Checkpoint(
        model_id=f"OpenCLIP-{entry.name}-{entry.tag}",
        name=entry.name,
        tag=entry.tag,
        config=entry.config,
        preprocess=preprocess_config(entry.preprocess, entry.config.image_size),
        weights=weights,
        tokenizer=tokenizer,
        sha256=hub.promised_sha256(weights),
    )


def _from_file(file: LocalFile, cache_dir: Path | None, report: hub.Report) -> Checkpoint:
    """A file for a name of the table, with the facts of a tag or of the bare name."""
    name, tag = str(file.name), file.tag
    config, preprocess = registry.architecture(name), registry.preprocess_of_name(name)
    if tag:
        entry = registry.pretrained(name, tag)
        config, preprocess = entry.config, entry.preprocess
    return Checkpoint(
        model_id=f"OpenCLIP-{name}-{file.path.stem}",
        name=name,
        tag=f"{tag}:{file.path}" if tag else str(file.path),
        config=config,
        preprocess=preprocess_config(preprocess, config.image_size),
        weights=file.path,
        tokenizer=hub_tokenizer(config, cache_dir, report),
        warning=None if tag else registry.ambiguity(name, file.path),
    )


def _from_file_alone(path: Path) -> Checkpoint:
    """With the config that lies beside it."""
    if not has_config(path.parent):
        raise UnknownModel(
            f"{path} is a file and does not say its architecture: write the name before it, as in ViT-B-32:{path} "
            f"(MODEL_NAME=ViT-B-32 MODEL_PRETRAINED={path}); `openclip-api info {path}` shows which names fit"
        )
    return _from_folder(path.parent, str(path), path)


def has_config(folder: Path) -> bool:
    """Whether a folder says which model's weights are in it."""
    return (folder / CONFIG_FILE).is_file() or is_transformers_folder(folder)


def _from_folder(folder: Path, name: str, weights: Path | None = None) -> Checkpoint:
    """weights: which of the folder's files, None for the likeliest."""
    model_id = f"OpenCLIP-{folder.resolve().name}"
    if is_transformers_folder(folder):
        inner = model_folder(folder)
        weights = weights or weights_in(inner, ("transformers", "open_clip"))
        return _from_transformers(inner, weights, name, None, model_id)
    if not (folder / CONFIG_FILE).is_file():
        raise without_config(folder, CONFIG_FILE)
    config, preprocess = read_config(folder / CONFIG_FILE)
    return Checkpoint(
        model_id=model_id,
        name=name,
        tag=None,
        config=config,
        preprocess=preprocess,
        weights=weights or weights_in(folder),
        tokenizer=folders_tokenizer(config, folder),
    )


def _from_transformers(folder: Path, weights: Path, name: str, tag: str | None, model_id: str) -> Checkpoint:
    config, preprocess = read_transformers_folder(folder)
    return Checkpoint(
        model_id=model_id,
        name=name,
        tag=tag,
        config=config,
        preprocess=preprocess,
        weights=weights,
        tokenizer=folder,
        sha256=hub.promised_sha256(weights),
    )


def _from_repo(source: HubRepository, cache_dir: Path | None, report: hub.Report) -> Checkpoint:
    repo, revision = source.repo, source.revision
    where: Where = {"revision": revision, "cache_dir": cache_dir, "report": report}
    model_id = f"OpenCLIP-{repo.rpartition('/')[2]}"
    try:
        path = _open_clip_config(repo, where)
        if path is None:
            weights = download_transformers_folder(repo, where)
            return _from_transformers(weights.parent, weights, str(source), revision, model_id)
    except hub.NoSuchRepository as error:
        raise UnknownModel(f"{error}{near_repository(repo)}") from error
    except hub.NoSuchFile as error:
        raise UnknownModel(
            f"{repo} has no {CONFIG_FILE}: it is not an OpenCLIP repository, and {error}{_pair_hint(repo)}"
        ) from error
    config, preprocess = read_config(path)
    weights = download_weights(repo, None, revision=hub.commit(path), cache_dir=cache_dir, report=report)
    return Checkpoint(
        model_id=model_id,
        name=str(source),
        tag=revision,
        config=config,
        preprocess=preprocess,
        weights=weights,
        tokenizer=hub_tokenizer(config, cache_dir, report),
        sha256=hub.promised_sha256(weights),
    )


def _open_clip_config(repo: str, where: Where) -> Path | None:
    """None for a repository in another layout; that without a network the cache's config.json tells."""
    try:
        return hub.download_if_there(repo, CONFIG_FILE, **where, check=read_config)
    except HubUnreachable:
        if hub.cached(repo, [CONFIG, MODULES], where["revision"], hub.cache_folder(where["cache_dir"])):
            return None
        raise


def _pair_hint(repo: str) -> str:
    pairs = registry.pairs_of_repository(repo)
    return f"; its weights are MODEL_NAME={pairs[0].name} MODEL_PRETRAINED={pairs[0].tag}" if pairs else ""
