"""The shell commands of docs/protocols, run as they are written; tests/clients runs the clients'."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..support.protocol_pages import ROOT, asking, blocks
from ..support.server_process import ServerProcess

SHELL = blocks("sh")


@pytest.fixture(scope="module")
def emoji() -> Iterator[ServerProcess]:
    with ServerProcess(MODEL_NAME="emoji") as server:
        yield server


def test_every_page_is_linked_and_has_something_to_run():
    links = (ROOT / "docs" / "clients.md").read_text()
    runnable = {name.split()[0] for language in ("sh", "python") for name in blocks(language)}
    for page in (ROOT / "docs" / "protocols").glob("*.md"):
        assert f"](protocols/{page.name})" in links
        assert page.stem in runnable


def test_the_table_of_clients_names_those_that_are_run():
    """Each is pinned for `make clients`, and a test or a page's code imports it."""
    table = (ROOT / "docs" / "clients.md").read_text().partition("\n\nA name in")[0]
    rows = [line.split("|")[-2] for line in table.splitlines() if line.startswith("| [")]
    named = {name for row in rows for name in re.findall(r"`([^`]+)`", row)}
    folder = ROOT / "tests" / "clients"
    python = re.findall(r"^([\w-]+)(?:\[\w+\])?==", (folder / "requirements.txt").read_text(), re.MULTILINE)
    node = json.loads((folder / "package.json").read_text())["dependencies"]
    assert named == {"infinity-client", *python, *(name for name, version in node.items() if version != "*")}
    imports = "\n".join(path.read_text() for path in folder.glob("*.py"))
    imports += "\n".join(code for language in ("python", "js") for code, _ in blocks(language).values())
    for name in named:
        module = re.escape(name.removesuffix("-ai")).replace(r"\-", "[-_.]")
        assert re.search(rf"""(?:from|import) ["']?{module}(?:\b|_)""", imports), name


@pytest.mark.process
@pytest.mark.parametrize("name", SHELL)
def test_a_command_works_as_written(emoji: ServerProcess, tmp_path: Path, name: str):
    written, _ = SHELL[name]
    command = asking(str(emoji.http.base_url), written)
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
