"""Reading a tower's config: every flag is either understood or refused, none is ignored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields
from types import NoneType, UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from ..checkpoints.config import as_number, as_whole_number
from ..errors import CorruptCheckpoint, UnsupportedModel, shown
from . import layers

Config = TypeVar("Config")

# Flags that change no vector, whatever their value.
TRAINING_ONLY = {"patch_dropout", "output_tokens", "timm_model_pretrained", "timm_drop", "timm_drop_path",
                 "hf_model_pretrained"}  # fmt: skip

MAY_BE_ZERO = {"layers", "pad_id", "eos_id", "pad_token_id"}
EXPECTED = {
    int: "a whole number that makes sense here",
    float: "a number",
    bool: "true or false",
    str: "a string",
    dict: "an object",
    list: "a list of whole numbers",
}


def read_flags(section: Mapping[str, Any], config: type[Config], where: str, **given: Any) -> Config:
    """`section` as the dataclass `config`, whose fields are the flags that the tower understands.

    Any other flag must have a value that switches it off: null, false, 0, "".

    where: what errors call the section. given: values that stand in place of the section's.
    Raises UnsupportedModel, naming the flag.
    """
    known = {field.name: field for field in fields(config)}  # type: ignore[arg-type]
    for flag, value in section.items():
        if flag not in known and flag not in TRAINING_ONLY and value:
            raise UnsupportedModel(f"{where}.{flag} = {shown(value)} is not supported")
    missing = [
        name for name, field in known.items() if field.default is MISSING and name not in section and name not in given
    ]
    if missing:
        raise UnsupportedModel(f"{where} has no {missing[0]!r}")
    values = {flag: value for flag, value in section.items() if flag in known and value is not None}
    return typed(config, {**values, **given}, where)


def typed(config: type[Config], values: Mapping[str, Any], where: str) -> Config:
    """The dataclass with these values. Raises CorruptCheckpoint, naming the field that has another type or no sense."""
    hints = get_type_hints(config)
    return config(**{name: _typed(value, hints[name], f"{where}.{name}") for name, value in values.items()})


def _typed(value: Any, hint: Any, where: str) -> Any:
    kinds = get_args(hint) if isinstance(hint, UnionType) else (hint,)
    if Any in kinds or (value is None and NoneType in kinds):
        return value
    kind = get_origin(kinds[0]) or kinds[0]
    name = where.rpartition(".")[2]
    found: Any
    if kind is int:
        found = as_whole_number(value, 0 if name in MAY_BE_ZERO else 1)
    elif kind is float:
        found = as_number(value)
    elif kind is bool:
        found = bool(value) if value in (True, False) else None
    else:
        found = value if isinstance(value, kind) and (kind is not list or all(map(as_whole_number, value))) else None
    if found is None:
        raise CorruptCheckpoint(f"{where} {shown(value)}: expected {EXPECTED[kind]}")
    return found


def one_of(value: Any, allowed: tuple[Any, ...], where: str) -> Any:
    if value not in allowed:
        raise UnsupportedModel(f"{where} {shown(value)}: expected {', '.join(map(repr, allowed))}")
    return value


def norm_eps(norm_kwargs: Mapping[str, Any] | None, where: str) -> float:
    """LayerNorm's epsilon: 1e-5 unless norm_kwargs says otherwise."""
    kwargs = dict(norm_kwargs or {})
    eps: float = _typed(kwargs.pop("eps", 1e-5), float, f"{where}.norm_kwargs.eps")
    if kwargs:
        raise UnsupportedModel(f"{where}.norm_kwargs {sorted(kwargs)}: only 'eps' is supported")
    return eps


def activation_of(quick_gelu: bool, act_kwargs: Mapping[str, Any] | None, where: str) -> layers.Activation:
    """open_clip/model.py, _build_vision_tower and _build_text_tower."""
    kwargs = dict(act_kwargs or {})
    approximate = kwargs.pop("approximate", "none")
    if kwargs or approximate not in ("none", "tanh") or (quick_gelu and act_kwargs):
        raise UnsupportedModel(f"{where}.act_kwargs {shown(act_kwargs)} is not supported")
    if quick_gelu:
        return layers.quick_gelu
    return layers.gelu_tanh if approximate == "tanh" else layers.gelu
