"""What a user writes → where a model's files are. Settings, commands and `load` all read it with `read_source`.

The first of these that fits:
1. a name of open_clip's table or of the built-in model, alone or with a tag or a file behind a colon;
2. what its prefix says: hf-hub:, local-dir:, file:;
3. a folder or file that is there, or a path by its looks;
4. a repository of a hub: org/name, org/name@revision.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeAlias
from urllib.parse import urlsplit
from urllib.request import url2pathname

from ..errors import InvalidSetting, StartupError, UnknownModel
from . import hints, registry

BUILTIN = ("emoji",)
HUB, FOLDER = "hf-hub:", "local-dir:"
REPOSITORY = re.compile(r"(?!.*(--|\.\.))\w[\w.-]{0,95}/\w[\w.-]{0,95}(?<![.-])", re.ASCII)  # as the hub has them
REVISION = re.compile(r"(?!.*\.\.)\w[\w./+-]{0,199}", re.ASCII)
STARTS_PATH = re.compile(r"/|\.\.?([/\\]|$)|~|[A-Za-z]:[/\\]")
ENDS_PATH = re.compile(r"/$|\.(safetensors|bin|pth?|ckpt|json)$")
TAG = re.compile(r"(?!file$)[\w-]{2,}", re.ASCII | re.IGNORECASE)  # no drive's letter, and no scheme
LONGEST_SHOWN = 300  # characters of what the user wrote
EXPECTED = (
    "a name (ViT-B-32), a name and a tag (ViT-B-32:openai), emoji (built in), org/name of a hub, or a folder (./clip)"
)


@dataclass(frozen=True)
class BuiltIn:
    """`str()` of a source is what read_source reads as the same source, in any folder."""

    name: str

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Pair:
    """A name and a tag of open_clip's table, spelled as there."""

    name: str
    tag: str

    def __str__(self) -> str:
        return f"{self.name}:{self.tag}"


@dataclass(frozen=True)
class HubRepository:
    repo: str
    revision: str | None = None

    def __str__(self) -> str:
        return f"{HUB}{self.repo}@{self.revision}" if self.revision else f"{HUB}{self.repo}"


@dataclass(frozen=True)
class LocalFolder:
    """path: absolute."""

    path: Path

    def __str__(self) -> str:
        return f"{FOLDER}{self.path}"


@dataclass(frozen=True)
class LocalFile:
    """path: absolute. name: of the table; None for a file alone, which the config in its folder describes.
    tag: whose activation and preprocessing apply; None for the bare name's.
    """

    path: Path
    name: str | None = None
    tag: str | None = None

    def __str__(self) -> str:
        return ":".join(part for part in (self.name, self.tag, str(self.path)) if part)


Source: TypeAlias = BuiltIn | Pair | HubRepository | LocalFolder | LocalFile

DEFAULT = Pair("ViT-B-32", "laion2b_s34b_b79k")


class Written(NamedTuple):
    """What the user wrote, and for which setting: errors begin with it."""

    field: str
    text: str

    def wrong(self, what: str, kind: type[StartupError] = UnknownModel) -> StartupError:
        shown = self.text if len(self.text) <= LONGEST_SHOWN else f"{self.text[:LONGEST_SHOWN]}…"
        return kind(f"{self.field}={shown!r}: {what}")


def read_source(name: str, pretrained: str | None = None, *, field: str = "MODEL_NAME") -> Source:
    """The model that these name. No network is asked; only whether a path is there, and what lies beside it.

    name: see above. pretrained: for a name of the table what may also follow it behind a colon: a tag, the path of a
    file with weights, or "tag:path". field: where the name comes from, for errors.

    Raises UnknownModel (nothing is there by this name; the line says what is nearest), InvalidSetting (the two say
    different things, or nothing).
    """
    asked, weights = Written(field, name.strip()), (pretrained or "").strip()
    if not asked.text:
        raise asked.wrong(f"it is empty: give {EXPECTED}", InvalidSetting)
    if asked.text[0] in "'\"" and asked.text[-1] == asked.text[0]:
        raise asked.wrong("write it without quotation marks", InvalidSetting)
    known, behind = _split(asked.text)
    if known is None:
        source = _by_itself(asked)
        if weights:
            raise Written("MODEL_PRETRAINED", weights).wrong(_brings_its_own(asked.text), InvalidSetting)
        return source
    if behind and weights:
        raise asked.wrong(
            f"it says {behind!r} already, and MODEL_PRETRAINED {weights!r}: leave one out", InvalidSetting
        )
    if weights:
        return _of_table(known, weights, Written("MODEL_PRETRAINED", weights))
    return _of_table(known, behind, asked) if behind else _with_its_tag(known, asked)


def _split(text: str) -> tuple[str | None, str]:
    """A name of the table, and what stands behind its colon; None and "" for anything else."""
    if known := registry.canonical_name(text):
        return known, ""
    before, _, behind = text.partition(":")
    known = registry.canonical_name(before)
    return known, behind.strip() if known else ""


def _with_its_tag(name: str, asked: Written) -> Pair:
    """The pair of a name without a tag. OpenAI's spelling, "ViT-B/32", does not say whose weights are meant."""
    if name == DEFAULT.name and "/" not in asked.text:
        return DEFAULT
    tags = registry.tags(name)
    if len(tags) == 1:
        return Pair(name, tags[0])
    if not tags:
        raise asked.wrong(f"{name} has no weights of its own: set MODEL_PRETRAINED to a file, or write {name}:/path")
    raise asked.wrong(
        f"{name} has several tags: set MODEL_PRETRAINED to one, or write {name}:{tags[0]}: {', '.join(tags)}"
    )


def _of_table(name: str, weights: str, asked: Written) -> Source:
    if tag := registry.canonical_tag(name, weights):
        return Pair(name, tag)
    before, colon, behind = weights.partition(":")
    tag = registry.canonical_tag(name, before) if colon else None
    if colon and not tag and TAG.fullmatch(before) and not behind.startswith("//") and not os.path.exists(weights):  # noqa: PTH110
        raise asked.wrong(hints.of_tag(name, before))
    path = _path(behind.strip() if tag else weights, asked)
    if path is None:
        raise asked.wrong(hints.of_tag(name, weights))
    if path.is_dir():
        raise asked.wrong(f"it is a folder with its own config: write it without {name}, as {FOLDER}{path}")
    return LocalFile(path, name, tag)


def _by_itself(asked: Written) -> Source:
    """What is no name of the table."""
    text = asked.text
    before, colon, behind = text.partition(":")
    match before.lower().replace("_", "-"):
        case name if name in BUILTIN:
            if colon:
                raise asked.wrong(_brings_its_own(name), InvalidSetting)
            return BuiltIn(name)
        case "hf-hub" if colon:
            return _repository(behind.strip(), asked)
        case "local-dir" if colon:
            folder = _there(behind.strip(), asked)
            if not folder.is_dir():
                raise asked.wrong(
                    f"it is a file: write the name of its architecture before it, as in ViT-B-32:{folder}"
                )
            return LocalFolder(folder)
    if path := _path(text, asked):
        return LocalFolder(path) if path.is_dir() else LocalFile(path)
    if colon and REPOSITORY.fullmatch(before):
        raise asked.wrong(f"a repository has its own weights: write {before}, or {before}@revision", InvalidSetting)
    if "/" in text.partition("@")[0] and not hints.is_spelling(text):
        return _repository(text, asked)
    raise asked.wrong(
        f"not an OpenCLIP model: {hints.of_name(text)}`openclip-api models` lists them; expected {EXPECTED}"
    )


def _brings_its_own(name: str) -> str:
    return (
        f"{name} has its own weights: write {name} alone, or to use other weights, a name of `openclip-api models`; "
        "to change a folder's weights, put the file into it"
    )


def _repository(text: str, asked: Written) -> HubRepository:
    if hint := hints.of_address(text):
        raise asked.wrong(hint)
    repo, at, revision = text.partition("@")
    if not REPOSITORY.fullmatch(repo):
        raise asked.wrong(f"not the name of a repository: expected org/name{hints.near_repository(repo)}")
    if at and not REVISION.fullmatch(revision):
        raise asked.wrong(f"what follows the @ is not a revision: write {repo}, or {repo}@ and a branch, tag or commit")
    return HubRepository(repo, revision or None)


def _path(text: str, asked: Written) -> Path | None:
    """The absolute path of what is there, or None for what is no path by its looks. Raises UnknownModel."""
    if hint := hints.of_address(text):
        raise asked.wrong(hint)
    looks = STARTS_PATH.match(text) or ENDS_PATH.search(text) or "\\" in text or text.partition("@")[0].count("/") > 1
    if looks or text.lower().startswith("file:") or os.path.exists(text):  # noqa: PTH110 # too long a name is no error
        return _there(text, asked)
    return None


def _there(text: str, asked: Written) -> Path:
    """Raises UnknownModel for a path at which there is neither a file nor a folder."""
    path = _absolute(text, asked)
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError) as error:
        if not isinstance(error, OSError) or error.errno in (errno.ENOENT, errno.ENOTDIR):
            looked = "" if text == str(path) else f" {path}"
            raise asked.wrong(f"no such file or folder{looked}{hints.near_path(text, path)}") from error
        raise asked.wrong(f"{path} cannot be read ({error.strerror})") from error
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise asked.wrong("neither a file nor a folder")
    return path


def read_path(text: str, *, field: str) -> Path:
    """The absolute path of what need not be there, spelled as in a source. Raises UnknownModel."""
    return _absolute(text.strip(), Written(field, text))


def _absolute(text: str, asked: Written) -> Path:
    if not text:
        raise asked.wrong("no path is given")
    if text.lower().startswith("file:"):
        parts = urlsplit(text)
        if parts.netloc not in ("", "localhost") or not parts.path.startswith("/"):
            raise asked.wrong("a file: address needs three slashes: file:///path")
        text = url2pathname(parts.path)
    try:
        return Path(text).expanduser().absolute()
    except RuntimeError:  # "~" where there is no home
        return Path(text).absolute()
