"""open_clip's table of model names and pretrained tags, as data.

registry.json is written from an installed open_clip by parity/write_data.py.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from .config import ModelConfig, Section, model_config

# What open_clip takes where a name says nothing: open_clip/transform.py, PreprocessCfg.
DEFAULT_PREPROCESS: Section = {"mean": [0.48145466, 0.4578275, 0.40821073], "std": [0.26862954, 0.26130258, 0.27577711],
                               "interpolation": "bicubic", "resize_mode": "shortest"}  # fmt: skip


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


def canonical_name(name: str) -> str | None:
    """A name of the table, however it is spelled: in any case, with "_" or "/" for "-"; None where there is none.

    open_clip accepts "ViT-B/32" for "ViT-B-32": open_clip/factory.py, create_model.
    """
    return _spellings().get(_folded(name))


@cache
def _spellings() -> dict[str, str]:
    return {_folded(name): name for name in _table()}


def _folded(name: str) -> str:
    return name.lower().replace("/", "-").replace("_", "-")


def names() -> list[str]:
    return list(_table())


def architecture(name: str) -> ModelConfig:
    """The model_cfg of a name of the table."""
    return model_config(_table()[name]["config"])


def tags(name: str) -> list[str]:
    return list(_table()[name]["tags"])


def canonical_tag(name: str, tag: str) -> str | None:
    """A tag of the name, however it is spelled; None where there is none: open_clip/pretrained.py, _clean_tag."""
    return next((known for known in tags(name) if _folded(known) == _folded(tag)), None)


def pretrained(name: str, tag: str) -> Pretrained:
    """The entry of a pair of the table."""
    written: Section = _table()[name]["config"]
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


def ambiguity(name: str, path: Path) -> str | None:
    """Why a bare file for this name may be built wrongly, and how to say it; None where all tags agree with the name.

    A file does not tell with which activation and preprocessing its weights were trained.
    """
    bare = architecture(name).quick_gelu, preprocess_of_name(name) or DEFAULT_PREPROCESS
    entries = [pretrained(name, tag) for tag in tags(name)]
    others = [entry for entry in entries if (entry.config.quick_gelu, entry.preprocess) != bare]
    if not others:
        return None
    usual = others[0]
    theirs = "with QuickGELU" if usual.config.quick_gelu != bare[0] else "with another preprocessing"
    right = next((entry.tag for entry in entries if entry not in others), None)
    confirm = f", or {right}:{path} if not" if right else ""
    return (
        f"MODEL_PRETRAINED {path}: the file does not say how it was trained, so it is read as {name} with "
        f"{'QuickGELU' if bare[0] else 'GELU'}. Write MODEL_PRETRAINED={usual.tag}:{path} if it was trained like "
        f"{usual.tag} ({theirs}){confirm}"
    )


def pairs_of_repository(repo: str) -> list[Pretrained]:
    """The pairs whose weights are in this repository; the tag that the repository's name ends with first."""
    return [entry for entry in all_pretrained() if entry.repo.lower() == repo.lower()]


def all_pretrained() -> Iterator[Pretrained]:
    return (pretrained(name, tag) for name in _table() for tag in tags(name))
