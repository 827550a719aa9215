"""(name, tag) → Checkpoint: everything a model needs, found and named, nothing read into memory yet."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, fields
from importlib import resources
from pathlib import Path
from typing import Any

from ..errors import CorruptCheckpoint, UnknownModel, UnsupportedModel
from . import hub, registry

BUILTIN = ("emoji",)
CONFIG_FILE = "open_clip_config.json"
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json")


@dataclass(frozen=True)
class PreprocessConfig:
    """How an image's bytes become pixels: open_clip/transform.py, PreprocessCfg."""

    size: int = 224  # pixels, square
    mean: tuple[float, ...] = (0.48145466, 0.4578275, 0.40821073)
    std: tuple[float, ...] = (0.26862954, 0.26130258, 0.27577711)
    interpolation: str = "bicubic"  # or "bilinear"
    resize_mode: str = "shortest"  # or "squash", "longest"
    fill_color: int = 0  # of the border that "longest" leaves


@dataclass(frozen=True)
class Checkpoint:
    """`model_cfg` is open_clip's; `tokenizer` a folder with tokenizer.json, or None for CLIP's own vocabulary.

    `sha256` is the digest that the hub's cache promises for the weights, or None.
    """

    model_id: str
    name: str
    tag: str | None
    model_cfg: dict[str, Any]
    preprocess: PreprocessConfig
    weights: Path
    tokenizer: Path | None
    sha256: str | None = None

    def fingerprint(self, weights_sha256: str, precision: str) -> str:
        """16 hex digits over everything that can change a vector."""
        facts = [weights_sha256, self.model_cfg, asdict(self.preprocess), self._tokenizer_sha256(), precision]
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]

    def _tokenizer_sha256(self) -> list[str]:
        if self.tokenizer is None:
            return []
        return [hashlib.sha256((self.tokenizer / name).read_bytes()).hexdigest() for name in TOKENIZER_FILES]


def find(
    name: str, tag: str | None = None, *, cache_dir: Path | None = None, report: hub.Report = lambda *_: None
) -> Checkpoint:
    """Find a checkpoint, downloading what is missing.

    name: a name of open_clip's table, "emoji" (built in), "hf-hub:org/repo[@revision]" or "local-dir:/path".
    tag: for a name of the table, one of its tags or the path of a .safetensors file; may be left out
    where the name has one tag.

    Raises UnknownModel, UnsupportedModel, CorruptCheckpoint, HubUnreachable.
    """
    if name.startswith("local-dir:"):
        return _from_folder(Path(name.removeprefix("local-dir:")).expanduser(), name)
    if name.startswith("hf-hub:"):
        return _from_repo(name, cache_dir, report)
    if name in BUILTIN:
        return _from_folder(Path(str(resources.files(__package__))) / "builtin" / name, name)
    if tag is not None and (tag.endswith(".safetensors") or Path(tag).is_file()):
        return _from_file(name, Path(tag).expanduser(), cache_dir, report)
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
    registry.architecture(name)  # an unknown name is a clearer error than its missing tag
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
        model_cfg=entry.config,
        preprocess=_preprocess(entry.config, entry.preprocess),
        weights=weights,
        tokenizer=tokenizer,
        sha256=_promised_sha256(weights),
    )


def _from_file(name: str, path: Path, cache_dir: Path | None, report: hub.Report) -> Checkpoint:
    config = registry.architecture(name)
    if path.suffix != ".safetensors":
        raise UnsupportedModel(f"MODEL_PRETRAINED {path}: only .safetensors files are read (a pickle can run code)")
    if not path.is_file():
        raise UnknownModel(f"MODEL_PRETRAINED {path}: no such file")
    return Checkpoint(
        model_id=f"OpenCLIP-{registry.canonical_name(name)}-{path.stem}",
        name=registry.canonical_name(name),
        tag=str(path),
        model_cfg=config,
        preprocess=_preprocess(config, registry.preprocess_of_name(name)),
        weights=path,
        tokenizer=_hub_tokenizer(config, cache_dir, report),
    )


def _from_folder(folder: Path, name: str) -> Checkpoint:
    if not folder.is_dir():
        raise UnknownModel(f"MODEL_NAME {name}: no such folder")
    config, preprocess = _read_config(folder / CONFIG_FILE)
    return Checkpoint(
        model_id=f"OpenCLIP-{folder.resolve().name}",
        name=name,
        tag=None,
        model_cfg=config,
        preprocess=_preprocess(config, preprocess),
        weights=_weights_in(folder),
        # open_clip/factory.py, get_tokenizer: a local folder brings its own tokenizer, whatever the config calls it
        tokenizer=_checked_tokenizer(folder) if config["text_cfg"].get("hf_tokenizer_name") else None,
    )


def _from_repo(name: str, cache_dir: Path | None, report: hub.Report) -> Checkpoint:
    repo, _, revision = name.removeprefix("hf-hub:").partition("@")
    where: dict[str, Any] = {"revision": revision or None, "cache_dir": cache_dir, "report": report}
    try:
        path = hub.download(repo, [CONFIG_FILE], **where)
    except hub.EntryNotFoundError as error:
        raise UnknownModel(f"{repo} has no {CONFIG_FILE}: it is not an OpenCLIP repository") from error
    config, preprocess = _read_config(path)
    tokenizer = _hub_tokenizer(config, cache_dir, report)
    weights = hub.download_weights(repo, None, **where)
    return Checkpoint(
        model_id=f"OpenCLIP-{repo.rpartition('/')[2]}",
        name=name,
        tag=revision or None,
        model_cfg=config,
        preprocess=_preprocess(config, preprocess),
        weights=weights,
        tokenizer=tokenizer,
        sha256=_promised_sha256(weights),
    )


def _read_config(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """model_cfg and preprocess_cfg of an open_clip_config.json."""
    if not path.is_file():
        raise UnknownModel(f"{path}: no such file; an OpenCLIP folder has one beside its weights")
    try:
        content = json.loads(path.read_bytes())
    except ValueError as error:
        raise CorruptCheckpoint(f"{path} is not JSON ({error})") from error
    config = content.get("model_cfg") if isinstance(content, dict) else None
    if not isinstance(config, dict):
        raise CorruptCheckpoint(f"{path} has no 'model_cfg'")
    for key in ("embed_dim", "vision_cfg", "text_cfg"):
        if key not in config:
            raise CorruptCheckpoint(f"{path}: model_cfg has no {key!r}")
    return config, content.get("preprocess_cfg") or {}


def _weights_in(folder: Path) -> Path:
    """open_clip/factory.py, _find_checkpoint_in_dir: the known names first, else the first by name."""
    found = sorted(folder.glob("*.safetensors"), key=lambda path: (path.name not in hub.WEIGHT_FILES, path.name))
    for known in hub.WEIGHT_FILES:
        if (folder / known).is_file():
            return folder / known
    if found:
        return found[0]
    if any(folder.glob("*.bin")) or any(folder.glob("*.pt*")):
        raise UnsupportedModel(
            f"{folder} has its weights only as a pickle; convert it (docs/models.md, 'From a pickle')"
        )
    raise UnknownModel(f"{folder} has no .safetensors file")


def _hub_tokenizer(config: dict[str, Any], cache_dir: Path | None, report: hub.Report) -> Path | None:
    repo = config["text_cfg"].get("hf_tokenizer_name")
    if not repo:
        return None
    try:
        paths = [hub.download(repo, [name], cache_dir=cache_dir, report=report) for name in TOKENIZER_FILES]
    except hub.EntryNotFoundError as error:
        raise UnsupportedModel(
            f"tokenizer {repo}: {error}; only tokenizers saved as tokenizer.json are read"
        ) from error
    return paths[0].parent


def _checked_tokenizer(folder: Path) -> Path:
    for name in TOKENIZER_FILES:
        if not (folder / name).is_file():
            raise UnknownModel(f"{folder} has no {name}, which its config's hf_tokenizer_name asks for")
    return folder


def _preprocess(config: dict[str, Any], facts: dict[str, Any]) -> PreprocessConfig:
    """open_clip/transform.py, merge_preprocess_dict; the tower's image_size overrides `size`."""
    size = config["vision_cfg"].get("image_size", 224)
    if isinstance(size, list):
        if len(set(size)) != 1:
            raise UnsupportedModel(f"vision_cfg.image_size {size}: only square images are supported")
        size = size[0]
    known = {field.name for field in fields(PreprocessConfig)} - {"size"}
    values = {key: value for key, value in facts.items() if key in known and value is not None}
    for key in ("mean", "std"):
        if key in values:
            value = values[key]
            values[key] = tuple(value) if isinstance(value, (list, tuple)) else (value,) * 3
    preprocess = PreprocessConfig(size=size, **values)
    if preprocess.interpolation == "random":  # open_clip evaluates such models with bicubic
        preprocess = PreprocessConfig(**{**asdict(preprocess), "interpolation": "bicubic"})
    if preprocess.interpolation not in ("bicubic", "bilinear"):
        raise UnsupportedModel(
            f"preprocess_cfg.interpolation {preprocess.interpolation!r}: expected bicubic or bilinear"
        )
    if preprocess.resize_mode not in ("shortest", "squash", "longest"):
        raise UnsupportedModel(
            f"preprocess_cfg.resize_mode {preprocess.resize_mode!r}: expected shortest, squash, longest"
        )
    return preprocess


def _promised_sha256(path: Path) -> str | None:
    """The hub's cache names a large file's blob by its SHA-256."""
    name = path.resolve().name
    return name if len(name) == 64 and set(name) <= set("0123456789abcdef") else None
