"""config.json of a CLIP-like model of transformers → open_clip's model_cfg.

Source: transformers/models/*/configuration_*.py and modeling_*.py (5.24.0).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...errors import CorruptCheckpoint, UnsupportedModel, shown
from ..config import ModelConfig, Section, as_number, as_whole_number

CLIP_TEXT: Section = {
    "vocab_size": 49408, "hidden_size": 512, "intermediate_size": 2048, "num_hidden_layers": 12,
    "num_attention_heads": 8, "max_position_embeddings": 77, "hidden_act": "quick_gelu", "layer_norm_eps": 1e-5,
    "eos_token_id": 49407,
}  # fmt: skip
CLIP_IMAGE: Section = {
    "hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12,
    "num_channels": 3, "image_size": 224, "patch_size": 32, "hidden_act": "quick_gelu", "layer_norm_eps": 1e-5,
}  # fmt: skip
SIGLIP_TEXT: Section = {
    "vocab_size": 32000, "hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12,
    "num_attention_heads": 12, "max_position_embeddings": 64, "hidden_act": "gelu_pytorch_tanh",
    "layer_norm_eps": 1e-6,
}  # fmt: skip
SIGLIP_IMAGE: Section = {**CLIP_IMAGE, "patch_size": 16, "hidden_act": "gelu_pytorch_tanh", "layer_norm_eps": 1e-6}
BERT_TEXT: Section = {
    "vocab_size": 30522, "hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12,
    "num_attention_heads": 12, "max_position_embeddings": 512, "hidden_act": "gelu", "layer_norm_eps": 1e-12,
    "pad_token_id": 0, "type_vocab_size": 2,
}  # fmt: skip
ALT_TEXT: Section = {
    "vocab_size": 250002, "hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24,
    "num_attention_heads": 16, "max_position_embeddings": 514, "hidden_act": "gelu", "layer_norm_eps": 1e-5,
    "pad_token_id": 1, "type_vocab_size": 1, "project_dim": 768,
}  # fmt: skip

# model_type → what its classes take for what config.json leaves out, and projection_dim's.
DEFAULTS: Mapping[str, tuple[Section, Section, int]] = {
    "clip": (CLIP_IMAGE, CLIP_TEXT, 512),
    "metaclip_2": (CLIP_IMAGE, CLIP_TEXT, 512),
    "siglip": (SIGLIP_IMAGE, SIGLIP_TEXT, 0),
    "chinese_clip": (CLIP_IMAGE, BERT_TEXT, 512),
    "altclip": (CLIP_IMAGE, ALT_TEXT, 768),
}
ACTIVATIONS = {"quick_gelu": "quick_gelu", "gelu": "none", "gelu_new": "tanh", "gelu_pytorch_tanh": "tanh"}
MOST = 65536  # of a width, or of layers

SIGLIP_KEY = "siglip"  # marks a vision_cfg that says in numbers what a name of timm's stands for
TOWERS_ALONE = {
    "text": "only a text tower: the image tower is missing",
    "vision": "only an image tower: the text tower is missing",
}

# A config.json without model_type is another library's.
OF_OTHERS = {
    "_class_name": "a part of a diffusers pipeline, which makes images",
    "architecture": "timm's, only an image model: the text tower is missing",
    "embed_dim": "open_clip's model_cfg: it belongs into an open_clip_config.json, as that file's model_cfg",
    "model_cfg": "open_clip's: its name is open_clip_config.json",
}

# timm's SigLIP towers, and the GELU that each name stands for: timm/models/vision_transformer.py (1.0.31).
TIMM_ACTIVATIONS = {
    **{f"vit_base_patch16_siglip_{size}": "none" for size in (224, 256, 384, 512)},
    **{f"vit_large_patch16_siglip_{size}": "none" for size in (256, 384)},
    **{f"vit_so400m_patch14_siglip_{size}": "none" for size in (224, 378, 384)},
    **{f"vit_so400m_patch16_siglip_{size}": "tanh" for size in (256, 384, 512)},
    **{f"vit_giantopt_patch16_siglip_{size}": "tanh" for size in (256, 384)},
    "vit_base_patch32_siglip_256": "tanh",
    "vit_large_patch16_siglip_512": "tanh",
}


def model_type(written: Section) -> str:
    """Raises UnsupportedModel for what is no CLIP-like model that is built here."""
    kind = written.get("model_type")
    if isinstance(kind, str) and kind in DEFAULTS:
        return kind
    for part, missing in TOWERS_ALONE.items():
        if isinstance(kind, str) and kind.endswith(f"_{part}_model"):
            raise UnsupportedModel(f"model_type {shown(kind)}: it is {missing}")
    if kind == "siglip2":
        raise UnsupportedModel(
            "model_type 'siglip2': the NaFlex models, whose images keep their shape, are not supported; "
            "those with a size in their name are, such as google/siglip2-base-patch16-224"
        )
    for key, what in OF_OTHERS.items():
        if kind is None and key in written:
            raise UnsupportedModel(f"{key} {shown(written[key])}: it is {what}")
    raise UnsupportedModel(f"model_type {shown(kind)} is not supported; these are: {', '.join(DEFAULTS)}")


def model_cfg(written: Section, clean: str, longest: int | None) -> dict[str, Any]:
    """clean, longest: of the tokenizer, see transformers_texts.read_tokenizer.

    Raises UnsupportedModel, CorruptCheckpoint.
    """
    kind = model_type(written)
    defaults = DEFAULTS[kind]
    image, text = _section(written, "vision_config", defaults[0]), _section(written, "text_config", defaults[1])
    _refuse(written, image, text)
    positions = _whole("text_config", text, "max_position_embeddings")
    if kind == "altclip":
        positions -= _whole("text_config", text, "pad_token_id", 0) + 1  # the first token stands behind the padding's
    tokenizer = {
        "context_length": min(positions, longest or positions),
        "hf_tokenizer_name": "its own",  # that of its folder, which open_clip takes there, whatever the name
        "tokenizer_kwargs": {"clean": clean},
    }
    if kind == "siglip":
        return _siglip(image, text, tokenizer)
    given = written.get("projection_dim") is not None
    top: dict[str, Any] = {"embed_dim": _whole("", written, "projection_dim") if given else defaults[2]}
    top |= {"vision_cfg": _native(image, "vision_config")}
    top["vision_cfg"] |= {
        "image_size": image["image_size"],
        "patch_size": _whole("vision_config", image, "patch_size"),
        "head_width": top["vision_cfg"]["width"] // top["vision_cfg"].pop("heads"),
    }
    if kind in ("chinese_clip", "altclip"):
        quick = image["hidden_act"] == "quick_gelu"
        text_cfg = _bert(kind, text) | tokenizer
    else:
        quick = _both_quick(image, text)
        text_cfg = _native(text, "text_config") | _pooling(kind, text) | tokenizer
        text_cfg["vocab_size"] = _whole("text_config", text, "vocab_size")
    return top | {"quick_gelu": quick, "text_cfg": text_cfg}


def open_clip_config(config: ModelConfig) -> dict[str, Any]:
    """The model_cfg that open_clip reads, of a config that `model_cfg` made.

    Raises UnsupportedModel for what open_clip has no tower for.
    """
    vision, text = dict(config.vision), dict(config.text)
    if "hf_config" in text:
        raise UnsupportedModel("open_clip takes a BERT text tower from its repository alone, by name")
    if SIGLIP_KEY in vision:
        vision = {
            "image_size": vision["image_size"],
            "timm_model_name": _timm_name(vision),
            "timm_pool": "map",
            "timm_proj": "none",
        }
    options = text.get("tokenizer_kwargs", {})
    if options.get("clean") in ("none", "siglip", "siglip_cased"):
        text["tokenizer_kwargs"] = {"clean": "whitespace" if options["clean"] == "none" else "canonicalize"}
    return {**config.as_written, "vision_cfg": vision, "text_cfg": text}


def _timm_name(vision: Section) -> str:
    """timm's name for a SigLIP image tower of this size, depth and activation."""
    sizes = {(768, 12, 12): "base", (1024, 24, 16): "large", (1152, 27, 16): "so400m", (1536, 40, 16): "giantopt"}
    size = sizes.get((vision["width"], vision["layers"], vision["heads"]))
    name = f"vit_{size}_patch{vision['patch_size']}_siglip_{vision['image_size']}"
    if size is None or TIMM_ACTIVATIONS.get(name) != vision["activation"]:
        raise UnsupportedModel(
            f"timm has no SigLIP image tower with width {vision['width']}, {vision['layers']} layers, patches of "
            f"{vision['patch_size']}, images of {vision['image_size']} pixels and this activation "
            f"({vision['activation']}), so open_clip cannot build it"
        )
    return name


def _section(written: Section, name: str, defaults: Section) -> Section:
    """What old versions wrote as text_config_dict stands above text_config, with all of its class's own values."""
    section, above = (written.get(key) for key in (name, f"{name}_dict"))
    for key, value in ((name, section), (f"{name}_dict", above)):
        if value is not None and not isinstance(value, dict):
            raise CorruptCheckpoint(f"{key} {shown(value)}: expected an object")
    if section is None and above is None:
        raise CorruptCheckpoint(f"{name} is missing: a whole model's config.json has it")
    return {**defaults, **(section or {}), **({**defaults, **above} if above else {})}


def _refuse(written: Section, image: Section, text: Section) -> None:
    """What would change a vector, and is not built."""
    if written.get("quantization_config"):
        raise UnsupportedModel("quantization_config: quantised weights are not supported; use those in full precision")
    if image["num_channels"] != 3:
        raise UnsupportedModel(f"vision_config.num_channels {shown(image['num_channels'])}: expected 3")
    if not image.get("vision_use_head", True):
        raise UnsupportedModel("vision_config.vision_use_head is false: the image tower gives no vector")
    if text.get("position_embedding_type", "absolute") not in ("absolute", None):
        raise UnsupportedModel(f"text_config.position_embedding_type {shown(text['position_embedding_type'])}")
    if text.get("is_decoder") or text.get("add_cross_attention"):
        raise UnsupportedModel("text_config.is_decoder, add_cross_attention: a decoder gives no text vector")


def _whole(where: str, section: Section, key: str, least: int = 1) -> int:
    number = as_whole_number(section.get(key), least, MOST if key != "vocab_size" else 2**31 - 1)
    if number is None:
        name = f"{where}.{key}".lstrip(".")
        raise CorruptCheckpoint(f"{name} {shown(section.get(key))}: expected a whole number from {least} on")
    return number


def _activation(where: str, section: Section) -> str:
    name = section.get("hidden_act")
    if not isinstance(name, str) or name not in ACTIVATIONS:
        raise UnsupportedModel(f"{where}.hidden_act {shown(name)}: expected one of {', '.join(ACTIVATIONS)}")
    return ACTIVATIONS[name]


def _eps(where: str, section: Section) -> float:
    eps = as_number(section.get("layer_norm_eps"))
    if eps is None or eps <= 0:
        raise CorruptCheckpoint(
            f"{where}.layer_norm_eps {shown(section.get('layer_norm_eps'))}: expected a number above 0"
        )
    return eps


def _native(section: Section, where: str) -> dict[str, Any]:
    """A tower of open_clip's own."""
    width, heads = (_whole(where, section, key) for key in ("hidden_size", "num_attention_heads"))
    if width % heads:
        raise CorruptCheckpoint(f"{where}.hidden_size {width} is no multiple of num_attention_heads {heads}")
    tower: dict[str, Any] = {
        "width": width,
        "heads": heads,
        "layers": _whole(where, section, "num_hidden_layers"),
        "mlp_ratio": _ratio(width, _whole(where, section, "intermediate_size")),
    }
    if _eps(where, section) != 1e-5:
        tower["norm_kwargs"] = {"eps": _eps(where, section)}
    if _activation(where, section) == "tanh":
        tower["act_kwargs"] = {"approximate": "tanh"}
    return tower


def _ratio(width: int, hidden: int) -> float:
    """open_clip has int(width * ratio) neurons: 1152 * (4304 / 1152) must not become 4303."""
    ratio = hidden / width
    return ratio if int(width * ratio) == hidden else (hidden + 0.5) / width


def _both_quick(image: Section, text: Section) -> bool:
    quick = [_activation("vision_config", image) == "quick_gelu", _activation("text_config", text) == "quick_gelu"]
    if quick[0] != quick[1]:
        raise UnsupportedModel(
            f"vision_config.hidden_act {shown(image['hidden_act'])} and text_config.hidden_act "
            f"{shown(text['hidden_act'])}: quick_gelu is built in both towers or in none"
        )
    return quick[0]


def _pooling(kind: str, text: Section) -> dict[str, Any]:
    """CLIPTextModel takes an end of text that is said to be 2 for the highest id: so wrote versions before 4.32."""
    vocab_size = _whole("text_config", text, "vocab_size")
    eos = as_whole_number(text["eos_token_id"], 0, vocab_size - 1)
    if eos is None:
        raise UnsupportedModel(
            f"text_config.eos_token_id {shown(text['eos_token_id'])}: expected one id below vocab_size, {vocab_size}"
        )
    highest = eos == vocab_size - 1 or (eos == 2 and kind == "clip")
    return {"pool_type": "argmax"} if highest else {"pool_type": "eos", "eos_id": eos}


def _siglip(image: Section, text: Section, tokenizer: dict[str, Any]) -> dict[str, Any]:
    width, projected = _whole("vision_config", image, "hidden_size"), text.get("projection_size")
    if width != (projected or text["hidden_size"]):
        raise UnsupportedModel(f"text_config.projection_size {shown(projected)}: the image tower gives {width} numbers")
    vision = {
        SIGLIP_KEY: True,
        "image_size": image["image_size"],
        "patch_size": _whole("vision_config", image, "patch_size"),
        "width": width,
        "layers": _whole("vision_config", image, "num_hidden_layers"),
        "heads": _whole("vision_config", image, "num_attention_heads"),
        "mlp_width": _whole("vision_config", image, "intermediate_size"),
        "activation": _activation("vision_config", image),
        "eps": _eps("vision_config", image),
    }
    both = {_activation("vision_config", image), _activation("text_config", text)}
    if "quick_gelu" in both:
        raise UnsupportedModel("hidden_act 'quick_gelu' is not built for SigLIP")
    own = {"no_causal_mask": True, "proj_bias": True, "pool_type": "last"}
    text_cfg = _native(text, "text_config") | own | tokenizer
    text_cfg["vocab_size"] = _whole("text_config", text, "vocab_size")
    return {"embed_dim": width, "custom_text": True, "init_logit_bias": -10, "vision_cfg": vision, "text_cfg": text_cfg}


def _bert(kind: str, text: Section) -> dict[str, Any]:
    """A text tower as of open_clip's HFTextEncoder, whose config lies within, as it has no repository of its own."""
    fields = ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size",
              "max_position_embeddings", "type_vocab_size", "layer_norm_eps", "pad_token_id", "hidden_act")  # fmt: skip
    if text["hidden_act"] != "gelu":
        raise UnsupportedModel(f"text_config.hidden_act {shown(text['hidden_act'])}: expected 'gelu'")
    encoder = "bert" if kind == "chinese_clip" else "xlm-roberta"
    return {
        "hf_model_name": encoder,
        "hf_config": {"model_type": encoder, **{field: text[field] for field in fields}},
        "hf_pooler_type": "cls_last_hidden_state_pooler",
        "hf_proj_type": "linear" if kind == "chinese_clip" else "altclip",
    }
