"""timm's image towers at another size than their names stand for, on both sides at once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import timm
from timm.models.vitamin import VitCfg, VitConvCfg

from openclip_api.models import vitamin


@contextmanager
def shrunk_vitamin(name: str, size: vitamin.ViTaminVariant, pixels: int) -> Iterator[None]:
    """timm's own function of that name, so with its class and options; only what makes it large is set."""
    create_model = timm.create_model
    smaller = {
        "img_size": pixels,
        "embed_cfg": VitCfg(
            embed_dim=size.widths,
            depths=(*vitamin.STAGES, 1),
            stem_width=size.widths[0],
            conv_cfg=VitConvCfg(norm_layer="layernorm2d", norm_eps=1e-6),
            head_type="1d",
        ),
        "embed_dim": size.widths[-1],
        "depth": size.layers,
        "num_heads": size.heads,
    }

    def create_smaller(model_name: str, **options: Any) -> Any:
        return create_model(model_name, **options, **(smaller if model_name == name else {}))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(timm, "create_model", create_smaller)
        patch.setitem(vitamin.VARIANTS, name, size)
        yield
