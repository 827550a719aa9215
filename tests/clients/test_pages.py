"""What docs/protocols tell a reader to type for each client, run as written."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest

from ..support.protocol_pages import ROOT, WRITTEN_HOST, asking, blocks

PYTHON, NODE = blocks("python"), blocks("js")
NPM = ROOT / ".venv-clients" / "npm"


def check(command: list[str], cwd: object, code: str, url: str, expected: str | None) -> None:
    assert WRITTEN_HOST in code
    done = subprocess.run(command, cwd=cwd, input=asking(url, code), capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert expected is not None
    assert done.stdout == expected


@pytest.mark.parametrize("name", PYTHON)
def test_python(url: str, name: str):
    code, expected = PYTHON[name]
    check([sys.executable, "-W", "ignore", "-"], ROOT, code, url, expected)


@pytest.mark.skipif(shutil.which("node") is None, reason="no Node here")
@pytest.mark.parametrize("name", NODE)
def test_node(url: str, name: str):
    code, expected = NODE[name]
    check(["node", "--input-type=module", "-"], NPM, code, url, expected)
