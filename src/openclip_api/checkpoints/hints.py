"""What to write instead of what is not known: the names that people know models by, and what is spelled alike."""

from __future__ import annotations

import difflib
import os
import re
from itertools import islice
from pathlib import Path

from . import registry

# OpenAI's own names (clip/clip.py): clip.load("ViT-L/14@336px"). "ViT-B/32" is a spelling of open_clip's too.
OPENAI = {"vit-l-14@336px": "ViT-L-14-336", "vit-l-14-336px": "ViT-L-14-336"}

# transformers' names without the organisation, and what people call a family.
REPOSITORIES = (
    (r"clip-vit-(base-patch(16|32)|large-patch14(-336)?)", "openai/{}"),
    (r"siglip2?-(base|large|so400m|giant)[a-z0-9-]*", "google/{}"),
    (r"metaclip-[a-z0-9-]+", "facebook/{}"),
    (r"clip-vit-(b-16|b-32|l-14)", "sentence-transformers/{}"),
    (r"fashion-clip", "patrickjohncyh/fashion-clip"),
    (r"(biomedclip.*)", "microsoft/BiomedCLIP-PubMedBERT_256-vit_base_patch16_224"),
)
FAMILIES = {
    "clip": "ViT-B-32 with MODEL_PRETRAINED=openai (or openai/clip-vit-base-patch32)",
    "openai/clip": "ViT-B-32 with MODEL_PRETRAINED=openai (or openai/clip-vit-base-patch32)",
    "openclip": "ViT-B-32 with MODEL_PRETRAINED=laion2b_s34b_b79k",
    "open-clip": "ViT-B-32 with MODEL_PRETRAINED=laion2b_s34b_b79k",
    "siglip": "ViT-B-16-SigLIP (or google/siglip-base-patch16-224)",
    "google/siglip": "ViT-B-16-SigLIP (or google/siglip-base-patch16-224)",
    "siglip2": "ViT-B-16-SigLIP2 (or google/siglip2-base-patch16-224)",
    "google/siglip2": "ViT-B-16-SigLIP2 (or google/siglip2-base-patch16-224)",
    "metaclip": "ViT-B-32-quickgelu with MODEL_PRETRAINED=metaclip_fullcc",
    "mobileclip": "MobileCLIP2-S0 with MODEL_PRETRAINED=dfndr2b",
    "eva-clip": "EVA02-B-16 with MODEL_PRETRAINED=merged2b_s8b_b131k",
    "dfn": "ViT-H-14-quickgelu with MODEL_PRETRAINED=dfn5b",
    "coca": "coca_ViT-B-32 with MODEL_PRETRAINED=laion2b_s13b_b90k",
    "chinese-clip": "OFA-Sys/chinese-clip-vit-base-patch16",
}

# Models that are no CLIP, or come with code of their own, which is not run here.
ELSEWHERE = (
    (r"(jinaai/)?jina-clip-v[12]",
     "it comes with code of its own, which is not run here; other multilingual models: xlm-roberta-base-ViT-B-32, "
     "ViT-B-16-SigLIP2"),
    (r"(.*/)?(blip|blip2|instructblip)[-/].*|.*/blip2?-.*", "BLIP is another architecture; CoCa is coca_ViT-B-32"),
    (r"(.*/)?(dinov[23]|imagebind|clap|florence)\b.*", "it is no CLIP model: images and texts need both towers"),
)  # fmt: skip

# Repositories in transformers' layout that people ask for by heart; the table knows open_clip's.
WELL_KNOWN = ("openai/clip-vit-base-patch32", "openai/clip-vit-base-patch16", "openai/clip-vit-large-patch14",
              "openai/clip-vit-large-patch14-336")  # fmt: skip

HUB_ADDRESS = re.compile(
    r"(https?://(www\.)?(huggingface\.co|hf\.co|hf-mirror\.com)|hf:/|(huggingface|hf)\.co)/", re.IGNORECASE
)
ADDRESS = re.compile(r"(?!file:)[a-z][a-z0-9+.-]+://", re.IGNORECASE)
DOWNLOAD = "download it, and write ViT-B-32:/path with the name of its architecture"

MOST_LISTED = 1000  # entries of a folder that are looked at


def of_name(typed: str) -> str:
    """ "did you mean …? ", or why the model cannot be served, or "", for what is no name of the table."""
    folded = typed.lower().strip().replace("_", "-")
    for pattern, reason in ELSEWHERE:
        if re.fullmatch(pattern, folded):
            return f"{reason}; "
    if meant := _pair(typed) or _meant(folded):
        return f"did you mean {meant}? "
    if owners := _names_with(typed):
        return f"it is a tag of {_some(owners)}: did you mean {owners[0]}:{typed}? "
    names = {model.lower().replace("_", "-"): model for model in registry.names()}
    close = difflib.get_close_matches(folded.replace("/", "-")[:100], names, n=3, cutoff=0.5)
    return f"did you mean {' or '.join(names[model] for model in close)}? " if close else ""


def of_tag(name: str, typed: str) -> str:
    """Why this is neither a tag of the name nor a file."""
    if registry.canonical_name(typed) == name:
        return "this repeats the name: write a tag, or leave it out"
    if other := registry.canonical_name(typed):
        return f"this is a name, not a tag of {name}: write MODEL_NAME={other}"
    tags = registry.tags(name)
    if "/" in typed:
        return f"no such file, and {name} has no such tag; for a repository of a hub, write only MODEL_NAME={typed}"
    close = difflib.get_close_matches(typed.lower()[:100], tags, n=1, cutoff=0.7)
    meant = f"did you mean {name}:{close[0]}? " if close else ""
    owners = f"it is a tag of {_some(_names_with(typed))}; " if _names_with(typed) else ""
    listed = f"its tags: {', '.join(tags)}" if tags else f"{name} has none; give the path of a weights file"
    return f"{name} has no tag {typed!r}; {meant}{owners}{listed}"


def of_address(typed: str) -> str | None:
    """What to write instead of an address; None for what is none."""
    if hub := HUB_ADDRESS.match(typed):
        parts = re.split(r"[?#]", typed[hub.end() :])[0].split("/")
        owner, name, kind, revision = (parts + [""] * 4)[:4]
        if not owner or not name or owner in ("datasets", "spaces"):
            return "this is the address of a hub, without a model: write org/name"
        at = f"@{revision}" if kind in ("tree", "blob", "resolve", "commit") and revision not in ("", "main") else ""
        one_file = f"; to take this one file, {DOWNLOAD}" if kind in ("blob", "resolve") and parts[4:] else ""
        return f"it is an address: write {owner}/{name}{at}{one_file}"
    return f"it is an address: {DOWNLOAD}" if ADDRESS.match(typed) else None


def near_repository(repo: str) -> str:
    """ "; did you mean …?" with a repository that is spelled alike, or ""."""
    known = {other.lower(): other for other in (*WELL_KNOWN, *(entry.repo for entry in registry.all_pretrained()))}
    close = difflib.get_close_matches(repo.lower()[:100], known, n=1, cutoff=0.8)
    return f"; did you mean {known[close[0]]}?" if close and known[close[0]] != repo else ""


def near_path(typed: str, path: Path) -> str:
    """ "; …" with what lies beside a path that is not there, or "". typed: what was written for it."""
    if os.sep == "/" and re.search(r"\\|^[A-Za-z]:", typed):
        return "; this is a Windows path: write it with /, as in /models/clip"
    bare = typed.rstrip("/")
    if bare != typed and (bare.count("/") == 1 or registry.canonical_name(bare)):
        return f"; leave out the / at the end: {bare}"
    above = next((folder for folder in path.parents if folder.is_dir()), path.parent)
    if above != path.parent:
        return f"; there is no {path.parent}"
    try:
        with os.scandir(above) as entries:
            names = [entry.name for entry in islice(entries, MOST_LISTED)]
    except OSError:
        return ""
    close = difflib.get_close_matches(path.name[:100], names, n=1, cutoff=0.6)
    return f"; did you mean {above / close[0]}?" if close else ""


def is_spelling(typed: str) -> bool:
    """Whether this is no repository's name although it looks like one: "ViT-B/23", "openai/clip"."""
    folded = typed.lower().replace("_", "-")
    if folded in FAMILIES or any(re.fullmatch(pattern, folded) for pattern, _ in ELSEWHERE):
        return True
    owner = typed.lower().partition("/")[0]
    return owner in {known.rpartition("-")[0].lower() for known in registry.names()} or _pair(typed) is not None


def _pair(typed: str) -> str | None:
    """Of "ViT-B-32__openai", as Immich and open_clip's cache write it, and its like: "ViT-B-32:openai"."""
    name, *tag = re.split(r"__|[\s,;|/@]+", typed.strip(), maxsplit=1)
    known = registry.canonical_name(name)
    found = registry.canonical_tag(known, tag[0]) if known and tag else None
    return f"{known}:{found}" if found else None


def _names_with(tag: str) -> list[str]:
    found = [name for name in registry.names() if registry.canonical_tag(name, tag)]
    return sorted(found, key=lambda name: name != "ViT-B-32")  # the best known first


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _meant(typed: str) -> str | None:
    if typed.replace("/", "-") in OPENAI:
        return f"{OPENAI[typed.replace('/', '-')]} with MODEL_PRETRAINED=openai"
    if typed in FAMILIES:
        return FAMILIES[typed]
    for pattern, repository in REPOSITORIES:
        if re.fullmatch(pattern, typed):
            return repository.format(_sentence_transformers(typed))
    return None


def _sentence_transformers(typed: str) -> str:
    """Its own spelling of clip-ViT-B-32; the hub takes case as it is."""
    return re.sub(r"^clip-vit-([bl]-\d+)$", lambda match: f"clip-ViT-{match[1].upper()}", typed)
