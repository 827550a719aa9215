"""docs/examples/similar-products.md against a real PostgreSQL."""

from __future__ import annotations

from pathlib import Path

from ..support.page_blocks import run_blocks
from ..support.repository import ROOT
from .postgres import postgres


def test_similar_products(tmp_path: Path):
    page = (ROOT / "docs" / "examples" / "similar-products.md").read_text(encoding="utf-8")
    (tmp_path / "samples").symlink_to(ROOT / "samples")
    with postgres() as url:
        run_blocks(tmp_path, page, DATABASE_URL=url)
        run_blocks(tmp_path, page, DATABASE_URL=url)  # products are replaced, not doubled
