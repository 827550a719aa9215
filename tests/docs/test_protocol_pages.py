"""The shell commands of docs/protocols, run as they are written; tests/clients runs the clients'."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..support.protocol_pages import ROOT, WRITTEN_URL, blocks
from ..support.server_process import ServerProcess

SHELL = blocks("sh")


@pytest.fixture(scope="module")
def emoji() -> Iterator[ServerProcess]:
    with ServerProcess(MODEL_NAME="emoji") as server:
        yield server


def test_every_page_is_linked_and_has_something_to_run():
    links = (ROOT / "docs" / "api.md").read_text()
    runnable = {name.split()[0] for language in ("sh", "python") for name in blocks(language)}
    for page in (ROOT / "docs" / "protocols").glob("*.md"):
        assert f"](protocols/{page.name})" in links
        assert page.stem in runnable


@pytest.mark.process
@pytest.mark.parametrize("name", SHELL)
def test_a_command_works_as_written(emoji: ServerProcess, tmp_path: Path, name: str):
    written, _ = SHELL[name]
    command = written.replace(WRITTEN_URL, str(emoji.http.base_url).rstrip("/"))
    assert command != written
    (tmp_path / ".curlrc").write_text("fail-with-body\n")  # an error status is a failure here
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command],
        cwd=ROOT,
        env={**os.environ, "CURL_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout[:500] + done.stderr
    assert done.stdout
