"""A pair (name, tag) → Checkpoint: all files of a model, found, their weights not read yet."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path

from ..errors import CorruptCheckpoint, UnknownModel, UnsupportedModel
from . import hub, registry
from .config import CONFIG_FILE, ModelConfig, PreprocessConfig, preprocess_config, read_config
from .digest import file_sha256
from .other_files import folder_refusal

BUILTIN = ("emoji",)
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json")
PICKLES = (".bin", ".pt", ".pth", ".ckpt")
# Not read either; but whoever reads them says what they are.
OTHER_KINDS = ("*.npz", "*.onnx", "*.gguf", "*.msgpack", "*.h5", "*.pt2", "*.pb", "*.tflite")


@dataclass(frozen=True)
class Checkpoint:
    """tokenizer: a folder with TOKENIZER_FILES, or None for CLIP's own vocabulary.

    sha256: the digest that the hub's cache promises for the weights, or None.
    """

    model_id: str
    name: str
    tag: str | None
    config: ModelConfig
    preprocess: PreprocessConfig
    weights: Path
    tokenizer: Path | None
    sha256: str | None = None

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
        facts = [weights_sha256, self.config.as_written, asdict(self.preprocess), self._tokenizer_sha256(), precision]
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]

    def _tokenizer_sha256(self) -> list[str]:
        if self.tokenizer is None:
            return []
        return [file_sha256(self.tokenizer / name) for name in TOKENIZER_FILES]


def find(
    name: str, tag: str | None = None, *, cache_dir: Path | None = None, report: hub.Report = lambda *_: None
) -> Checkpoint:
    """Find a checkpoint, downloading what is missing.

    name: a name of open_clip's table, "emoji" (built in), "hf-hub:org/repo[@revision]" or "local-dir:/path".
    tag: for a name of the table, one of its tags or the path of a file with weights; may be left out
    where the name has one tag.

    Raises InvalidSetting, UnknownModel, UnsupportedModel, CorruptCheckpoint, HubUnreachable.
    """
    if name.startswith("local-dir:"):
        return _from_folder(_expanded(name.removeprefix("local-dir:")), name)
    if name.startswith("hf-hub:"):
        return _from_repo(name, cache_dir, report)
    if name in BUILTIN:
        return _from_folder(Path(str(resources.files(__package__))) / "builtin" / name, name)
    if tag and (tag.endswith(".safetensors") or _expanded(tag).is_file()):
        return _from_file(name, _expanded(tag), cache_dir, report)
    return _from_table(name, tag, cache_dir, report)


def default_tag(name: str) -> str | None:
    """The tag of a name that has exactly one. Raises UnknownModel for a name with several."""
    if not registry.is_known(name):
        return None
    tags = registry.tags(name)
    if len(tags) > 1:
        raise UnknownModel(f"MODEL_PRETRAINED is not set and {name} has several tags: {', '.join(tags)}")
    return tags[0] if tags else None


def _from_table(name: str, tag: str | None, cache_dir: Path | None, report: hub.Report) -> Checkpoint:
    registry.architecture(name)  # tell of an unknown name before a missing tag
    tag = tag or default_tag(name)
    if tag is None:
        raise UnknownModel(f"{name} has no pretrained tag: set MODEL_PRETRAINED to a .safetensors file")
    entry = registry.pretrained(name, tag)
    tokenizer = _hub_tokenizer(entry.config, cache_dir, report)
    weights = hub.download_weights(entry.repo, entry.filename, cache_dir=cache_dir, report=report)
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


def _from_file(name: str, path: Path, cache_dir: Path | None, report: hub.Report) -> Checkpoint:
    config = registry.architecture(name)
    if not path.is_file():
        raise UnknownModel(f"MODEL_PRETRAINED {path}: no such file")
    return Checkpoint(
        model_id=f"OpenCLIP-{registry.canonical_name(name)}-{path.stem}",
        name=registry.canonical_name(name),
        tag=str(path),
        config=config,
        preprocess=preprocess_config(registry.preprocess_of_name(name), config.image_size),
        weights=path,
        tokenizer=_hub_tokenizer(config, cache_dir, report),
    )


def _from_folder(folder: Path, name: str) -> Checkpoint:
    if not folder.is_dir():
        raise UnknownModel(f"MODEL_NAME {name}: no such folder")
    if not (folder / CONFIG_FILE).is_file() and (error := folder_refusal(folder)):
        raise error
    config, preprocess = read_config(folder / CONFIG_FILE)
    return Checkpoint(
        model_id=f"OpenCLIP-{folder.resolve().name}",
        name=name,
        tag=None,
        config=config,
        preprocess=preprocess,
        weights=_weights_in(folder),
        # open_clip/factory.py, get_tokenizer: a local folder brings its own tokenizer, whatever the config calls it
        tokenizer=_checked_tokenizer(folder) if config.tokenizer.hf_tokenizer_name else None,
    )


def _from_repo(name: str, cache_dir: Path | None, report: hub.Report) -> Checkpoint:
    repo, _, revision = name.removeprefix("hf-hub:").partition("@")
    try:
        path = hub.download(
            repo, [CONFIG_FILE], revision=revision or None, cache_dir=cache_dir, report=report, check=read_config
        )
    except hub.NoSuchFile as error:
        raise UnknownModel(f"{repo} has no {CONFIG_FILE}: it is not an OpenCLIP repository") from error
    config, preprocess = read_config(path)
    tokenizer = _hub_tokenizer(config, cache_dir, report)
    weights = hub.download_weights(repo, None, revision=hub.commit(path), cache_dir=cache_dir, report=report)
    return Checkpoint(
        model_id=f"OpenCLIP-{repo.rpartition('/')[2]}",
        name=name,
        tag=revision or None,
        config=config,
        preprocess=preprocess,
        weights=weights,
        tokenizer=tokenizer,
        sha256=hub.promised_sha256(weights),
    )


def _expanded(path: str) -> Path:
    """The path with ~ replaced where there is a home."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


def _weights_in(folder: Path) -> Path:
    """open_clip/factory.py, _find_checkpoint_in_dir: the known names first, else the first by name."""
    for known in hub.WEIGHT_FILES:
        if (folder / known).is_file():
            return folder / known
    kinds = ("*.safetensors.index.json", "*.safetensors", "*.bin.index.json", *hub.PICKLE_FILES)
    for kind in (*kinds, *(f"*{end}" for end in PICKLES), *OTHER_KINDS):
        found = sorted(path for path in folder.glob(kind) if path.is_file())
        if found:
            return found[0]
    raise UnknownModel(f"{folder} has no .safetensors file, nor any of {', '.join(PICKLES)} or *.index.json")


def _hub_tokenizer(config: ModelConfig, cache_dir: Path | None, report: hub.Report) -> Path | None:
    repo = config.tokenizer.hf_tokenizer_name
    if repo is None:
        return None
    revision = None
    for name in TOKENIZER_FILES:
        try:
            path = hub.download(
                repo, [name], revision=revision, cache_dir=cache_dir, report=report, check=_check_braces
            )
        except hub.NoSuchFile as error:
            raise UnsupportedModel(f"tokenizer {error}; only tokenizers saved as tokenizer.json are read") from error
        revision = hub.commit(path)
    return path.parent


def _check_braces(path: Path) -> None:
    """Raises CorruptCheckpoint for a web page or half a file. To parse 17 MB of JSON would slow down each start."""
    content = path.read_bytes().strip()
    if not (content.startswith(b"{") and content.endswith(b"}")):
        raise CorruptCheckpoint(f"{path.resolve()} is not whole JSON")


def _checked_tokenizer(folder: Path) -> Path:
    for name in TOKENIZER_FILES:
        if not (folder / name).is_file():
            raise UnknownModel(f"{folder} has no {name}, which its config's hf_tokenizer_name asks for")
        _check_braces(folder / name)
    return folder
