"""The commands that the pages in docs/protocols show, to be run as they are written."""

from __future__ import annotations

import re

from .repository import ROOT

WRITTEN_HOST = "127.0.0.1:7860"
WRITTEN_URL = f"http://{WRITTEN_HOST}"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```\n(?:\n```text\n(.*?)^```\n)?", re.MULTILINE | re.DOTALL)


def asking(url: str, code: str) -> str:
    """The code, with a server's URL instead of the one that is written; some clients take it without its scheme."""
    return code.replace(WRITTEN_HOST, url.removeprefix("http://").rstrip("/"))


def blocks(language: str) -> dict[str, tuple[str, str | None]]:
    """The blocks in one language, by page and number: what is typed, and what the page says it prints."""
    found: dict[str, tuple[str, str | None]] = {}
    for page in sorted((ROOT / "docs" / "protocols").glob("*.md")):
        for number, (tag, code, output) in enumerate(BLOCK.findall(page.read_text())):
            if tag == language:
                found[f"{page.stem} {number}"] = code, output or None
    return found
