"""The commands of docs/scaling.md that need a cluster, run as they are written on one that runs here."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ..support.protocol_pages import BLOCK, ROOT
from .conftest import Nodes

pytestmark = pytest.mark.process


def test_the_page_s_commands(tmp_path: Path, nodes: Nodes):
    nodes.add()
    (tmp_path / "samples").symlink_to(ROOT / "samples")
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    ((_, code, expected),) = BLOCK.findall((ROOT / "docs" / "scaling.md").read_text())
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PATH": path, "RAY_ADDRESS": nodes.address},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == expected
