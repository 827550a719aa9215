"""The page's blocks, run one after the other as they are written; what they print is what the page says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..support.protocol_pages import BLOCK, ROOT
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


def run_blocks(folder: Path, section: str, **environment: str) -> None:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    blocks = BLOCK.findall(section)
    assert blocks
    for language, code, expected in blocks:
        program = {"sh": ["bash", "-euo", "pipefail", "-s"], "python": [sys.executable, "-W", "ignore", "-"]}[language]
        done = subprocess.run(
            program,
            cwd=folder,
            env={**os.environ, "PATH": path, "HF_DATASETS_OFFLINE": "1", "HF_HOME": str(folder / "hf"), **environment},
            input=code,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert done.stdout == expected


@pytest.mark.parametrize(("name", "section"), zip(SECTIONS, REST, strict=True), ids=SECTIONS)
def test_a_section(folder: Path, request: pytest.FixtureRequest, name: str, section: str):
    needs = {"DATABASE_URL": request.getfixturevalue("database")} if "DATABASE_URL" in section else {}
    run_blocks(folder, section, **needs)
    if name in ("PostgreSQL with pgvector", "Chroma", "Qdrant"):
        run_blocks(folder, section, **needs)  # what was there already is replaced, not doubled
