"""timm's models with few and narrow layers: the class, the options and the name stay."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest
from timm.models import _registry as timm_registry
from timm.models import vision_transformer_hybrid

Config = dict[str, Any]

TEXT = {"width": 64, "heads": 2, "layers": 2}


@contextmanager
def timm_sizes(name: str, **sizes: Any) -> Iterator[None]:
    """Within, timm.create_model(name) calls the same entrypoint with these depths and widths instead of its own."""
    with pytest.MonkeyPatch.context() as patch:
        entrypoint = timm_registry.model_entrypoint(name)
        patch.setitem(timm_registry._model_entrypoints, name, partial(entrypoint, **sizes))
        if name == "vit_base_mci_224":  # its function fixes the stem's channels: a quarter, a quarter, all of the width
            stem, width = vision_transformer_hybrid.ConvStem, sizes["embed_dim"]
            channels = (width // 4, width // 4, width)
            patch.setattr(vision_transformer_hybrid, "ConvStem", lambda **given: stem(**given | {"channels": channels}))
        yield


def with_small_text(config: Config, **vision: Any) -> Config:
    config = copy.deepcopy(config)
    config["vision_cfg"] |= vision
    config["text_cfg"] |= TEXT
    return config | {"embed_dim": 48}
