"""Reading a tower's config: every flag is either understood or refused, none is ignored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any, TypeVar

from ..errors import UnsupportedModel
from . import layers

Config = TypeVar("Config")

# Flags that change no vector, whatever their value.
TRAINING_ONLY = {"patch_dropout", "output_tokens", "timm_model_pretrained", "timm_drop", "timm_drop_path",
                 "hf_model_pretrained"}  # fmt: skip


def read_flags(section: Mapping[str, Any], config: type[Config], where: str, **given: Any) -> Config:
    """`section` as the dataclass `config`, whose fields are the flags that the tower understands.

    Any other flag must have a value that switches it off: null, false, 0, "".

    where: what errors call the section. given: values that stand in place of the section's.
    Raises UnsupportedModel, naming the flag.
    """
    known = {field.name: field for field in fields(config)}  # type: ignore[arg-type]
    for flag, value in section.items():
        if flag not in known and flag not in TRAINING_ONLY and value:
            raise UnsupportedModel(f"{where}.{flag} = {value!r} is not supported")
    missing = [
        name for name, field in known.items() if field.default is MISSING and name not in section and name not in given
    ]
    if missing:
        raise UnsupportedModel(f"{where} has no {missing[0]!r}")
    values = {flag: value for flag, value in section.items() if flag in known and value is not None}
    return config(**{**values, **given})


def one_of(value: Any, allowed: tuple[Any, ...], where: str) -> Any:
    if value not in allowed:
        raise UnsupportedModel(f"{where} {value!r}: expected {', '.join(map(repr, allowed))}")
    return value


def norm_eps(norm_kwargs: Mapping[str, Any] | None, where: str) -> float:
    """LayerNorm's epsilon: 1e-5 unless norm_kwargs says otherwise."""
    kwargs = dict(norm_kwargs or {})
    eps = float(kwargs.pop("eps", 1e-5))
    if kwargs:
        raise UnsupportedModel(f"{where}.norm_kwargs {sorted(kwargs)}: only 'eps' is supported")
    return eps


def activation_of(quick_gelu: bool, act_kwargs: Mapping[str, Any] | None, where: str) -> layers.Activation:
    """open_clip/model.py, _build_vision_tower and _build_text_tower."""
    kwargs = dict(act_kwargs or {})
    approximate = kwargs.pop("approximate", "none")
    if kwargs or approximate not in ("none", "tanh") or (quick_gelu and act_kwargs):
        raise UnsupportedModel(f"{where}.act_kwargs {dict(act_kwargs or {})!r} is not supported")
    if quick_gelu:
        return layers.quick_gelu
    return layers.gelu_tanh if approximate == "tanh" else layers.gelu
