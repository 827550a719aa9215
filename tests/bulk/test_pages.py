"""docs/bulk.md's commands, run one after the other as they are written."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from ..pages import BLOCK, ROOT


def test_the_page_s_commands(tmp_path: Path):
    (tmp_path / "samples").symlink_to(ROOT / "samples")
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    blocks = BLOCK.findall((ROOT / "docs" / "bulk.md").read_text())
    assert len(blocks) == 3
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
        assert done.stdout == expected if expected else "airplane.png" in done.stdout
