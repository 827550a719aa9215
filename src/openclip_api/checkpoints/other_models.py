"""What kind of model tensors of these names are, where they are no CLIP model's, and what would work."""

from __future__ import annotations

import re
from collections.abc import Collection

from ..errors import UnsupportedModel

MERGE = "a change to another model: merge it into that model first (peft: merge_and_unload) and save the result"
NO_TOWER = "it has no image tower"
BOTH = "use a CLIP model with both an image tower and a text tower"

# Names that no CLIP model has, besides its own or instead of them → what it is, what would work.
OTHERS = [
    (r"lora_[ab]\b|lora_(up|down)\b|\.lora_magnitude|^base_model\.model\.",
     f"is a LoRA or similar adapter, {MERGE}"),
    (r"^unet\.|^model\.diffusion_model\.|^down_blocks\.|^first_stage_model\.|^double_blocks\.|^(post_)?quant_conv\.",
     f"is a diffusion model or a part of one, which makes images: {NO_TOWER}"),
    (r"(^|\.)(language_model|multi_modal_projector|mm_projector|qformer|itm_head|text_decoder\.bert|visual_encoder)\.",
     f"is a model that reads images and writes texts, such as LLaVA or BLIP: {BOTH}"),
    (r"(^|\.)audio_(model|branch|projection|encoder)\.", f"is an audio model, such as CLAP: {NO_TOWER}"),
    (r"^image_encoder\.model\.patch_emb",
     "is in the form of Apple's own MobileCLIP code: use open_clip's copy from the hub, such as "
     "MODEL_NAME=MobileCLIP-S1 MODEL_PRETRAINED=datacompdr"),
    (r"(^|\.)(mask_decoder|prompt_encoder)\.", f"cuts objects out of images, as SAM does: {BOTH}"),
]  # fmt: skip
# The same where no name is that of a CLIP model's tower. The first that fits.
WITHOUT_TOWERS = [
    (r"(^|\.)encoder\.conv[12]\.", f"is a speech model, such as Whisper: {NO_TOWER}"),
    (r"(^|\.)(wte|embed_tokens|shared|lm_head)\.weight$|(^|\.)h\.\d+\.attn\.", f"is a language model: {NO_TOWER}"),
    (r"(^|\.)word_embeddings\.weight$", f"is only a text model, such as BERT: {NO_TOWER}"),
    (r"(^|\.)token_embedding\.weight$", f"is only a text tower: {BOTH}"),
    (r"(^|\.)(patch_embed\w*|cls_token|class_embedding|embedder|stem|conv1|layer1|conv_stem)\b",
     f"is only an image model, such as DINO, a classifier or one tower of CLIP: {BOTH}"),
]  # fmt: skip
OF_IMAGES, OF_TEXTS = re.compile("visual|vision|image|img"), re.compile("text|token|word")


def refuse_other_models(source: str, names: Collection[str], has_tower: bool) -> None:
    """Raises UnsupportedModel for a model that is no CLIP model by its tensors' names."""
    for pattern, what in OTHERS:
        if any(re.search(pattern, name, re.IGNORECASE) for name in names):
            raise UnsupportedModel(f"{source} {what}")
    if has_tower or (any(map(OF_IMAGES.search, names)) and any(map(OF_TEXTS.search, names))):
        return
    for pattern, what in WITHOUT_TOWERS:
        if any(re.search(pattern, name) for name in names):
            raise UnsupportedModel(f"{source} {what}")
