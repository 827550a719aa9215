"""Timm's name stands for a tower's size, so the golden timm towers have a name of timm's and these sizes."""

from __future__ import annotations

import pytest

from openclip_api.models import vitamin

SHRUNK = {"vitamin": ("vitamin_small_224", vitamin.ViTaminVariant((8, 16, 24), layers=2, heads=2))}


def shrink(patch: pytest.MonkeyPatch) -> None:
    """To be undone by `patch`: the golden models' sizes in place of timm's."""
    for name, size in SHRUNK.values():
        patch.setitem(vitamin.VARIANTS, name, size)
