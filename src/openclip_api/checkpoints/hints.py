"""What to write instead of a name that is not known: the names that people know models by."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence

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


def hint(name: str, known: Sequence[str]) -> str:
    """ "did you mean …? ", or why the model cannot be served, or "". known: the table's names."""
    typed = name.lower().strip().replace("_", "-")
    for pattern, reason in ELSEWHERE:
        if re.fullmatch(pattern, typed):
            return f"{reason}; "
    if meant := _meant(typed):
        return f"did you mean {meant}? "
    folded = {model.lower().replace("_", "-"): model for model in known}
    close = difflib.get_close_matches(typed.replace("/", "-")[:100], folded, n=3, cutoff=0.5)
    return f"did you mean {' or '.join(folded[model] for model in close)}? " if close else ""


def is_family(name: str) -> bool:
    """Whether this is no repository's name although it looks like one: "openai/clip", "jinaai/jina-clip-v1"."""
    typed = name.lower().replace("_", "-")
    return typed in FAMILIES or any(re.fullmatch(pattern, typed) for pattern, _ in ELSEWHERE)


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
