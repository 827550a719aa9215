"""`make deployment` installs the programs that it needs, where one of them is missing."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from ..support.repository import ROOT

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(shutil.which("make") is None, reason="make is needed"),
]
PROGRAMS = {"nginx", "promtool", "systemd-analyze"}


@pytest.mark.parametrize("missing", [None, *sorted(PROGRAMS)])
def test_make_deployment_installs_what_is_missing(tmp_path: Path, missing: str | None):
    for name in (PROGRAMS - {missing}) | {"python"}:
        _write_program(tmp_path / name, "")
    _write_program(tmp_path / "apt-get", f'echo "$1" >> {tmp_path}/asked')
    made = ["--old-file=.venv/test", "--old-file=.venv-deployment/installed"]
    command = [str(shutil.which("make")), "deployment", *made, f"BIN={tmp_path}"]
    environment = {**os.environ, "PATH": str(tmp_path)}
    ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    asked = tmp_path / "asked"
    assert (asked.read_text().split() if asked.exists() else []) == (["update", "install"] if missing else [])


def _write_program(path: Path, line: str) -> None:
    path.write_text(f"#!/bin/sh\n{line}\n")
    path.chmod(0o755)
