"""docs/examples, run as written; what needs PostgreSQL is run by recipes/test_examples.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from ..support.page_blocks import run_blocks
from ..support.repository import ROOT

EXAMPLES = {path.stem: path.read_text(encoding="utf-8") for path in (ROOT / "docs" / "examples").glob("*.md")}


def test_there_are_examples():
    assert len(EXAMPLES) >= 3


@pytest.mark.process
@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example(tmp_path: Path, name: str):
    (tmp_path / "samples").symlink_to(ROOT / "samples")
    run_blocks(tmp_path, EXAMPLES[name].partition("\n## 2. Load it into PostgreSQL\n")[0])
