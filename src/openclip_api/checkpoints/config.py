"""open_clip_config.json: what open_clip writes of a model, read once into types."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, TypeAlias

from ..errors import CorruptCheckpoint, UnknownModel, UnsupportedModel, shown

CONFIG_FILE = "open_clip_config.json"
INTERPOLATIONS = ("bicubic", "bilinear")
RESIZE_MODES = ("shortest", "squash", "longest")

# Far above any model there is. A config beyond them would take gigabytes before a tensor shows that it is wrong.
MAX_IMAGE_SIZE = 2048  # pixels
MAX_CONTEXT_LENGTH = 8192  # tokens
MAX_EMBED_DIM = 65536
LARGEST = 3e38  # what float32 holds

# Fields of PreprocessConfig that no preprocess_cfg has.
OF_TRANSFORMERS = {"convert_first", "resized_size"}

Section: TypeAlias = Mapping[str, Any]  # an object of the JSON file

# The flags of model_cfg that are read here, and those that matter only for training or loading.
READ = {"embed_dim", "vision_cfg", "text_cfg", "multimodal_cfg", "quick_gelu"}
NO_PART_IN_FORWARD = {"custom_text", "init_logit_scale", "init_logit_bias", "nonscalar_logit_scale", "output_dict"}


@dataclass(frozen=True)
class TokenizerConfig:
    """What text_cfg says of the tokenizer: open_clip/factory.py, get_tokenizer (3.3.0)."""

    context_length: int = 77  # tokens
    hf_tokenizer_name: str | None = None  # a repository with a tokenizer.json; None for CLIP's own vocabulary
    clean: str = "lower"  # or "whitespace", "canonicalize"; of transformers' layout "none", "siglip", "siglip_cased"
    strip_sep_token: bool = False  # the separator's id becomes 0


@dataclass(frozen=True)
class ModelConfig:
    """model_cfg.

    vision, text: vision_cfg and text_cfg. Each tower reads its own flags there, and refuses those it does not know.
    unknown_flags: flags of model_cfg itself that are set and that nothing here reads.
    as_written: all of model_cfg, for the fingerprint and for open_clip.
    source: how errors call the file that it was read from; "" for open_clip's table.
    """

    embed_dim: int
    image_size: int  # pixels, square
    tokenizer: TokenizerConfig
    timm_model_name: str | None  # set for an image tower from timm
    hf_model_name: str | None  # set for a text tower from transformers: a name, or a folder with a config.json
    quick_gelu: bool
    has_text_decoder: bool  # CoCa's, which writes captions
    unknown_flags: tuple[str, ...]
    vision: Section
    text: Section
    as_written: Section
    source: str = field(default="", compare=False)

    @property
    def activation(self) -> str:
        """Of the native towers: "quick_gelu", "gelu" or "gelu_tanh". timm's and transformers' have their own."""
        if self.quick_gelu:
            return "quick_gelu"
        options = self.text.get("act_kwargs")
        tanh = isinstance(options, dict) and options.get("approximate") == "tanh"
        return "gelu_tanh" if tanh else "gelu"


@dataclass(frozen=True)
class PreprocessConfig:
    """How an image's bytes become pixels: open_clip/transform.py, PreprocessCfg.

    convert_first, resized_size: of transformers' layout alone, see transformers_layout/images.py.
    """

    size: int = 224  # pixels, square
    mean: tuple[float, ...] = (0.48145466, 0.4578275, 0.40821073)
    std: tuple[float, ...] = (0.26862954, 0.26130258, 0.27577711)
    interpolation: str = "bicubic"  # or "bilinear"
    resize_mode: str = "shortest"  # or "squash", "longest"
    fill_color: int = 0  # of the border that "longest" leaves
    convert_first: bool = False  # to RGB on white before the resize, and the crop's corner rounded down
    resized_size: int | None = None  # pixels, where more than `size` are left for the crop

    def facts(self) -> dict[str, Any]:
        """For the fingerprint: what transformers' layout brought is left out where it is not used."""
        return {key: value for key, value in asdict(self).items() if key not in OF_TRANSFORMERS or value}


def read_config(path: Path) -> tuple[ModelConfig, PreprocessConfig]:
    """Read an open_clip_config.json. Raises UnknownModel, CorruptCheckpoint, UnsupportedModel."""
    if not path.is_file():
        raise UnknownModel(f"{path}: no such file; an OpenCLIP folder has one beside its weights")
    content = read_json(path)
    if isinstance(content, dict) and "model_cfg" not in content and content.keys() & {"embed_dim", "vision_cfg"}:
        raise CorruptCheckpoint(
            f'{path} has only a model_cfg: write {{"model_cfg": …, "preprocess_cfg": {{}}}} around it, with the mean, '
            "std and resize_mode of its training in preprocess_cfg if they are not OpenAI's"
        )
    written = _section(path, content, "model_cfg")
    for key in ("vision_cfg", "text_cfg"):
        _section(path, written, key)
    if "embed_dim" not in written:
        raise CorruptCheckpoint(f"{path}: model_cfg has no 'embed_dim'")
    preprocess = _section(path, {"preprocess_cfg": {}, **content}, "preprocess_cfg")
    try:
        config = replace(model_config(written), source=str(path))
        return config, preprocess_config(preprocess, config.image_size)
    except UnsupportedModel as error:
        raise UnsupportedModel(f"{path}: {error}") from error


def read_json(path: Path) -> Any:
    """Raises CorruptCheckpoint."""
    try:
        return json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise CorruptCheckpoint(f"{path} is not JSON and cannot be read ({error})") from error
    except OSError as error:
        raise CorruptCheckpoint(f"{path} cannot be read ({error.strerror})") from error


def _section(path: Path, parent: Any, key: str) -> Section:
    section = parent.get(key) if isinstance(parent, dict) else None
    if not isinstance(section, dict):
        raise CorruptCheckpoint(f"{path}: {key!r} is missing or is not an object")
    return section


def model_config(written: Section) -> ModelConfig:
    """model_cfg with its two sections and an embed_dim. Raises UnsupportedModel."""
    vision, text = written["vision_cfg"], written["text_cfg"]
    known = READ | NO_PART_IN_FORWARD
    return ModelConfig(
        embed_dim=_whole_number("model_cfg.embed_dim", written["embed_dim"], MAX_EMBED_DIM),
        image_size=_image_size(vision.get("image_size", 224)),
        tokenizer=tokenizer_config(text),
        timm_model_name=_name("vision_cfg.timm_model_name", vision),
        hf_model_name=_name("text_cfg.hf_model_name", text),
        quick_gelu=_flag("model_cfg.quick_gelu", written.get("quick_gelu")),
        has_text_decoder=_has_text_decoder(written.get("multimodal_cfg")),
        unknown_flags=tuple(flag for flag, value in written.items() if flag not in known and value),
        vision=vision,
        text=text,
        as_written=written,
    )


def tokenizer_config(text: Section) -> TokenizerConfig:
    """Of a text_cfg. Raises UnsupportedModel."""
    if text.get("tokenizer_mode"):
        raise UnsupportedModel(f"text_cfg.tokenizer_mode {shown(text['tokenizer_mode'])} is not supported")
    own = _name("text_cfg.hf_tokenizer_name", text)
    options = text.get("tokenizer_kwargs") or {}
    if not isinstance(options, dict):
        raise UnsupportedModel(f"text_cfg.tokenizer_kwargs {shown(options)}: expected an object")
    unknown = options.keys() - ({"clean", "strip_sep_token"} if own else {"clean"})
    if unknown:
        raise UnsupportedModel(f"text_cfg.tokenizer_kwargs {shown(sorted(unknown))} is not supported")
    return TokenizerConfig(
        context_length=_whole_number("text_cfg.context_length", text.get("context_length", 77), MAX_CONTEXT_LENGTH),
        hf_tokenizer_name=own,
        clean=str(options.get("clean", "whitespace" if own else "lower")),
        strip_sep_token=_flag("text_cfg.tokenizer_kwargs.strip_sep_token", options.get("strip_sep_token")),
    )


def preprocess_config(facts: Section, size: int) -> PreprocessConfig:
    """open_clip/transform.py, merge_preprocess_dict; the size is the image tower's, whatever preprocess_cfg says.

    Raises UnsupportedModel.
    """
    known = {field.name for field in fields(PreprocessConfig)} - {"size"} - OF_TRANSFORMERS
    values = {key: value for key, value in facts.items() if key in known and value is not None}
    for key in ("mean", "std"):
        if key in values:
            values[key] = _per_channel(key, values[key])
    if values.get("interpolation") == "random":  # open_clip evaluates such models with bicubic
        values["interpolation"] = "bicubic"
    preprocess = PreprocessConfig(size=size, **values)
    if preprocess.interpolation not in INTERPOLATIONS:
        raise _unsupported("interpolation", preprocess.interpolation, " or ".join(INTERPOLATIONS))
    if preprocess.resize_mode not in RESIZE_MODES:
        raise _unsupported("resize_mode", preprocess.resize_mode, ", ".join(RESIZE_MODES))
    if type(preprocess.fill_color) is not int or not 0 <= preprocess.fill_color <= 255:
        raise _unsupported("fill_color", preprocess.fill_color, "a whole number from 0 to 255")
    return preprocess


def _name(where: str, section: Section) -> str | None:
    value = section.get(where.rpartition(".")[2])
    if value is not None and not isinstance(value, str):
        raise UnsupportedModel(f"{where} {shown(value)}: expected a string")
    return value or None


def _has_text_decoder(section: Any) -> bool:
    if section is not None and not isinstance(section, dict):
        raise UnsupportedModel(f"model_cfg.multimodal_cfg {shown(section)}: expected an object")
    return bool(section)


def as_number(value: Any) -> float | None:
    """None for what is no finite number."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < LARGEST:
        return None
    return float(value)


def as_whole_number(value: Any, least: int = 1, most: int = 2**31 - 1) -> int | None:
    """None for what is no whole number in these bounds. 77.0 is one, which JSON's writers make of 77."""
    number = as_number(value)
    return int(number) if number is not None and least <= number <= most and not number % 1 else None


def _whole_number(where: str, value: Any, most: int) -> int:
    number = as_whole_number(value, 1, most)
    if number is None:
        raise UnsupportedModel(f"{where} {shown(value)}: expected a whole number from 1 to {most}")
    return number


def _flag(where: str, value: Any) -> bool:
    if value not in (None, True, False):
        raise UnsupportedModel(f"{where} {shown(value)}: expected true or false")
    return bool(value)


def _image_size(size: Any) -> int:
    is_square = isinstance(size, list) and size and all(side == size[0] for side in size)
    side = size[0] if is_square else size
    number = as_whole_number(side, 1, MAX_IMAGE_SIZE)
    if number is None or type(side) is not int:
        raise UnsupportedModel(
            f"vision_cfg.image_size {shown(size)}: only square images of up to {MAX_IMAGE_SIZE} pixels are supported"
        )
    return number


def _per_channel(key: str, value: Any) -> tuple[float, ...]:
    numbers = tuple(value) if isinstance(value, (list, tuple)) else (value,) * 3
    real = all(as_number(number) is not None for number in numbers)
    if len(numbers) != 3 or not real or (key == "std" and min(numbers) <= 0):
        raise _unsupported(key, value, "three numbers (those of std above 0)")
    return numbers


def _unsupported(key: str, value: object, expected: str) -> UnsupportedModel:
    return UnsupportedModel(f"preprocess_cfg.{key} {shown(value)}: expected {expected}")
