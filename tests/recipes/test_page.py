"""The page's blocks, run one after the other as they are written; what they print is what the page says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..support.page_blocks import run_blocks
from ..support.protocol_pages import ROOT
from .postgres import postgres

PAGE = (ROOT / "docs" / "recipes.md").read_text()
SECTIONS = re.findall(r"^## (.*)$", PAGE, re.MULTILINE)
BEFORE, *REST = re.split(r"^## .*$", PAGE, flags=re.MULTILINE)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the page's first command was run."""
    folder = tmp_path_factory.mktemp("recipes")
    (folder / "samples").symlink_to(ROOT / "samples")
    run_blocks(folder, BEFORE)
    return folder


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    with postgres() as url:
        yield url


@pytest.mark.parametrize(("name", "section"), zip(SECTIONS, REST, strict=True), ids=SECTIONS)
def test_a_section(folder: Path, request: pytest.FixtureRequest, name: str, section: str):
    needs = {"HF_DATASETS_OFFLINE": "1", "HF_HOME": str(folder / "hf")}
    if "DATABASE_URL" in section:
        needs["DATABASE_URL"] = request.getfixturevalue("database")
    run_blocks(folder, section, **needs)
    if name in ("PostgreSQL with pgvector", "Chroma", "Qdrant"):
        run_blocks(folder, section, **needs)  # what was there already is replaced, not doubled
