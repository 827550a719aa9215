"""open_clip's table of model names and pretrained tags, as data.

registry.json is written from an installed open_clip by parity/write_data.py.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from ..errors import UnknownModel
from .config import ModelConfig, Section, model_config


@dataclass(frozen=True)
class Pretrained:
    """One (name, tag) pair: which architecture, which repository, which preprocessing."""

    name: str
    tag: str
    config: ModelConfig
    repo: str
    filename: str | None
    preprocess: Section  # as in a preprocess_cfg


@cache
def _table() -> dict[str, Any]:
    text = resources.files(__package__).joinpath("registry.json").read_text(encoding="utf-8")
    return json.loads(text)["models"]  # type: ignore[no-any-return]


def canonical_name(name: str) -> str:
    """open_clip accepts "ViT-B/32" for "ViT-B-32": open_clip/factory.py, create_model."""
    return name.replace("/", "-")


def is_known(name: str) -> bool:
    return canonical_name(name) in _table()


def architecture(name: str) -> ModelConfig:
    """The model_cfg of a name. Raises UnknownModel."""
    return model_config(_written(name))


def _written(name: str) -> Section:
    if not is_known(name):
        close = difflib.get_close_matches(canonical_name(name), _table(), n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(close)}? " if close else ""
        raise UnknownModel(
            f"MODEL_NAME {name!r} is not an OpenCLIP model: {hint}`openclip-api models` lists them; "
            "also allowed: 'emoji', 'hf-hub:org/repo', 'local-dir:/path'"
        )
    config: Section = _table()[canonical_name(name)]["config"]
    return config


def tags(name: str) -> list[str]:
    return list(_table()[canonical_name(name)]["tags"])


def pretrained(name: str, tag: str) -> Pretrained:
    """The entry of a pair. Raises UnknownModel, naming the tags that the name has."""
    written = _written(name)
    name = canonical_name(name)
    # open_clip/pretrained.py, _clean_tag
    tag = tag if tag in tags(name) else tag.lower().replace("-", "_")
    if tag not in tags(name):
        known = ", ".join(tags(name)) or "none; give the path of a .safetensors file"
        raise UnknownModel(f"MODEL_PRETRAINED {tag!r} is not a tag of {name}; its tags: {known}")
    entry = dict(_table()[name]["tags"][tag])
    org, repo, *rest = entry.pop("hf_hub").split("/")
    if entry.pop("quick_gelu", False):
        # The tag knows how the weights were trained. The bare name's config often lacks it.
        written = {**written, "quick_gelu": True}
    return Pretrained(name, tag, model_config(written), f"{org}/{repo}", rest[0] if rest else None, entry)


def preprocess_of_name(name: str) -> Section:
    """The preprocessing that all tags of a name share, else an empty one: for weights given as a bare file."""
    entries = [pretrained(name, tag).preprocess for tag in tags(name)]
    return entries[0] if entries and all(entry == entries[0] for entry in entries) else {}


def all_pretrained() -> Iterator[Pretrained]:
    return (pretrained(name, tag) for name in _table() for tag in tags(name))
