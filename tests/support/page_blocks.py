"""Runs the blocks of a page one after the other, as a reader would."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from .protocol_pages import BLOCK


def run_blocks(folder: Path, text: str, **environment: str) -> None:
    """Each block of the text in the folder, as it is written. It prints what the page says that it prints."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    blocks = BLOCK.findall(text)
    assert blocks
    for language, code, expected in blocks:
        program = {"sh": ["bash", "-euo", "pipefail", "-s"], "python": [sys.executable, "-W", "ignore", "-"]}[language]
        done = subprocess.run(
            program,
            cwd=folder,
            env={**os.environ, "PATH": path, **environment},
            input=code,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert done.stdout == expected
