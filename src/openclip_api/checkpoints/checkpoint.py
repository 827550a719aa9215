"""A pair (name, tag) → Checkpoint: all files of a model, found, their weights not read yet."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from ..errors import CorruptCheckpoint, HubUnreachable, InvalidSetting, UnknownModel
from . import hub, registry
from .config import CONFIG_FILE, ModelConfig, PreprocessConfig, preprocess_config, read_config
from .digest import file_sha256
from .folder_weights import weights_in
from .hints import is_family
from .hub_weights import Where, download_weights
from .other_files import folder_refusal
from .tokenizer_files import TOKENIZER_FILES, folders_tokenizer, hub_tokenizer
from .transformers_layout.folder import CONFIG, MODULES, is_transformers_folder, model_folder, read_transformers_folder
from .transformers_layout.keys import open_clip_tensors
from .transformers_layout.repository import download_transformers_folder
from .transformers_layout.texts import tokenizer_form
from .weight_files import read_weights
from .weights import Weights

BUILTIN = ("emoji",)
PATHS = ("/", "./", "../", "~")  # how a folder starts that is given without "local-dir:"


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
    name: str, tag: str | None = None, *, cache_dir: Path | None = None, report: hub.Report = lambda *_: None
) -> Checkpoint:
    """Find a checkpoint, downloading what is missing.

    name: a name of open_clip's table, "emoji" (built in), a repository of a hub ("org/repo[@revision]", with "hf-hub:"
    or without) or a folder ("local-dir:/path", "/path", "./path").
    tag: for a name of the table, one of its tags, the path of a file with weights, or both as "tag:/path": the facts of
    the tag for that file. May be left out where the name has one tag.

    Raises InvalidSetting, UnknownModel, UnsupportedModel, CorruptCheckpoint, HubUnreachable.
    """
    if tag and _brings_weights(name):
        raise InvalidSetting(
            f"MODEL_PRETRAINED {tag}: {name} brings its own weights; leave it out, or give a file together with a name "
            "of `openclip-api models`; a folder's weights are replaced by putting the file into it"
        )
    if name.startswith("local-dir:"):
        return _from_folder(_expanded(name.removeprefix("local-dir:")), name)
    if name.startswith("hf-hub:"):
        return _from_repo(name, cache_dir, report)
    if name in BUILTIN:
        return _from_folder(Path(str(resources.files(__package__))) / "builtin" / name, name)
    if name.startswith(PATHS):
        return _from_folder(_a_folder(_expanded(name)), name)
    if not registry.is_known(name) and _is_repository(name):
        return _from_repo(f"hf-hub:{name}", cache_dir, report)
    config_tag, path = _tag_and_path(name, tag or "")
    if path is not None:
        return _from_file(name, config_tag, path, tag or "", cache_dir, report)
    return _from_table(name, tag, cache_dir, report)


def default_tag(name: str) -> str | None:
    """The tag of a name that has exactly one. Raises UnknownModel for a name with several."""
    if not registry.is_known(name):
        return None
    tags = registry.tags(name)
    if len(tags) > 1:
        raise UnknownModel(
            f"MODEL_PRETRAINED is not set and {registry.canonical_name(name)} has several tags: {', '.join(tags)}"
        )
    return tags[0] if tags else None


def _brings_weights(name: str) -> bool:
    if name.startswith(("local-dir:", "hf-hub:", *PATHS)) or name in BUILTIN:
        return True
    return not registry.is_known(name) and _is_repository(name)


def _is_repository(name: str) -> bool:
    """Whether a name that the table does not have is to be asked for on a hub: "openai/clip-vit-base-patch32"."""
    owner, slash, repo = name.partition("@")[0].partition("/")
    is_spelling = owner.lower() in {known.rpartition("-")[0].lower() for known in registry.names()}  # "ViT-B/23"
    return bool(slash) and "/" not in repo and not is_spelling and not is_family(name)


def _tag_and_path(name: str, pretrained: str) -> tuple[str | None, Path | None]:
    """MODEL_PRETRAINED → the tag whose facts apply, and the file, if it names one. No tag has a dot or a slash."""
    tag, colon, path = pretrained.partition(":")
    if colon and path and registry.is_known(name) and registry.canonical_tag(name, tag):
        return tag, _expanded(path)
    is_path = any(sign in pretrained for sign in "/\\.") or pretrained.startswith("~")
    if is_path or (pretrained and _expanded(pretrained).is_file()):
        return None, _expanded(pretrained)
    return None, None


def _from_table(name: str, tag: str | None, cache_dir: Path | None, report: hub.Report) -> Checkpoint:
    registry.architecture(name)  # tell of an unknown name before a missing tag
    tag = tag or default_tag(name)
    if tag is None:
        raise UnknownModel(f"{name} has no pretrained tag: set MODEL_PRETRAINED to a file with weights")
    entry = registry.pretrained(name, tag)
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


def _from_file(
    name: str, tag: str | None, path: Path, written: str, cache_dir: Path | None, report: hub.Report
) -> Checkpoint:
    """tag: whose activation and preprocessing apply, None for the bare name's."""
    config, preprocess = registry.architecture(name), registry.preprocess_of_name(name)
    warning = None if tag else registry.ambiguity(name, path)
    if tag:
        entry = registry.pretrained(name, tag)
        config, preprocess = entry.config, entry.preprocess
    if not path.is_file():
        what = "it is a folder: MODEL_NAME=local-dir:/path takes one" if path.is_dir() else "no such file"
        raise UnknownModel(f"MODEL_PRETRAINED {path}: {what}")
    return Checkpoint(
        model_id=f"OpenCLIP-{registry.canonical_name(name)}-{path.stem}",
        name=registry.canonical_name(name),
        tag=written,
        config=config,
        preprocess=preprocess_config(preprocess, config.image_size),
        weights=path,
        tokenizer=hub_tokenizer(config, cache_dir, report),
        warning=warning,
    )


def _a_folder(path: Path) -> Path:
    if path.is_file():
        raise UnknownModel(
            f"MODEL_NAME {path} is a file: set MODEL_NAME to its architecture, such as ViT-B-32, and MODEL_PRETRAINED "
            "to this file"
        )
    return path


def _from_folder(folder: Path, name: str) -> Checkpoint:
    if not folder.is_dir():
        raise UnknownModel(f"MODEL_NAME {name}: no such folder")
    model_id = f"OpenCLIP-{folder.resolve().name}"
    if is_transformers_folder(folder):
        inner = model_folder(folder)
        return _from_transformers(inner, weights_in(inner), name, None, model_id)
    if not (folder / CONFIG_FILE).is_file() and (error := folder_refusal(folder)):
        raise error
    config, preprocess = read_config(folder / CONFIG_FILE)
    return Checkpoint(
        model_id=model_id,
        name=name,
        tag=None,
        config=config,
        preprocess=preprocess,
        weights=weights_in(folder),
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


def _from_repo(name: str, cache_dir: Path | None, report: hub.Report) -> Checkpoint:
    repo, _, revision = name.removeprefix("hf-hub:").partition("@")
    where: Where = {"revision": revision or None, "cache_dir": cache_dir, "report": report}
    model_id = f"OpenCLIP-{repo.rpartition('/')[2]}"
    path = _open_clip_config(repo, where)
    if path is None:
        try:
            weights = download_transformers_folder(repo, where)
        except hub.NoSuchFile as error:
            raise UnknownModel(
                f"{repo} has no {CONFIG_FILE}: it is not an OpenCLIP repository, and {error}{_pair_hint(repo)}"
            ) from error
        return _from_transformers(weights.parent, weights, name, revision or None, model_id)
    config, preprocess = read_config(path)
    weights = download_weights(repo, None, revision=hub.commit(path), cache_dir=cache_dir, report=report)
    return Checkpoint(
        model_id=model_id,
        name=name,
        tag=revision or None,
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


def _expanded(path: str) -> Path:
    """The path with ~ replaced where there is a home."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)
