"""A tokenizer's files: from its repository on the hub, or from the checkpoint's own folder."""

from __future__ import annotations

from pathlib import Path

from ..errors import CorruptCheckpoint, UnknownModel, UnsupportedModel
from . import hub
from .config import ModelConfig

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json")
VOCABULARY = "vocab.txt"


def hub_tokenizer(config: ModelConfig, cache_dir: Path | None, report: hub.Report) -> Path | None:
    """The folder with the files of the tokenizer that a config names; None for CLIP's own vocabulary.

    Raises UnsupportedModel, and what hub.download raises.
    """
    repo = config.tokenizer.hf_tokenizer_name
    if repo is None:
        return None
    revision, folder = None, None
    for name in TOKENIZER_FILES:
        path: Path | None
        try:
            path = hub.download(repo, [name], revision=revision, cache_dir=cache_dir, report=report, check=check_braces)
        except hub.NoSuchFile as error:
            path = _vocabulary(repo, cache_dir, report) if name == TOKENIZER_FILES[0] else None
            if path is None:
                raise UnsupportedModel(
                    f"tokenizer {error}; only tokenizers saved as tokenizer.json or vocab.txt are read"
                ) from error
        revision, folder = hub.commit(path), path.parent
    return folder


def _vocabulary(repo: str, cache_dir: Path | None, report: hub.Report) -> Path | None:
    """BERT's vocabulary, in a repository from before there was tokenizer.json."""
    try:
        return hub.download(repo, [VOCABULARY], cache_dir=cache_dir, report=report)
    except hub.NoSuchFile:
        return None


def folders_tokenizer(config: ModelConfig, folder: Path) -> Path | None:
    """A folder that brings its own tokenizer, as open_clip/factory.py, get_tokenizer, has it, whatever the config calls
    it. Raises UnknownModel, CorruptCheckpoint."""
    if config.tokenizer.hf_tokenizer_name is None:
        return None
    for name in TOKENIZER_FILES:
        if name == TOKENIZER_FILES[0] and not (folder / name).is_file() and (folder / VOCABULARY).is_file():
            continue
        if not (folder / name).is_file():
            raise UnknownModel(f"{folder} has no {name}, which its config's hf_tokenizer_name asks for")
        check_braces(folder / name)
    return folder


def check_braces(path: Path) -> None:
    """Raises CorruptCheckpoint for a web page or half a file. To parse 17 MB of JSON would slow down each start."""
    content = path.read_bytes().strip()
    if not (content.startswith(b"{") and content.endswith(b"}")):
        raise CorruptCheckpoint(f"{path.resolve()} is not whole JSON")
