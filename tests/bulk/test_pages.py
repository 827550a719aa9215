"""The commands of docs/bulk.md and docs/search.md, run one after the other as they are written."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ..support.protocol_pages import BLOCK, ROOT

pytestmark = pytest.mark.process


@pytest.mark.parametrize(("page", "count", "found"), [("bulk", 3, "airplane.png"), ("search", 2, "automobile.png")])
def test_a_page_s_commands(tmp_path: Path, page: str, count: int, found: str):
    (tmp_path / "samples").symlink_to(ROOT / "samples")
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    blocks = BLOCK.findall((ROOT / "docs" / f"{page}.md").read_text())
    assert len(blocks) == count
    for _, code, expected in blocks:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", code],
            cwd=tmp_path,
            env={**os.environ, "PATH": path},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert done.stderr == ""
        assert done.stdout == expected if expected else found in done.stdout
