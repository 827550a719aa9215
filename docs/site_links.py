"""For `make site`: links to files beside docs/ lead to the repository, since the site has the pages of docs/ only."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


def on_page_markdown(markdown: str, *, page: Any, config: Any, files: Any) -> str:
    """The page with such links made absolute; one that leads nowhere is left as it is, which MkDocs refuses."""
    folder = Path(page.file.abs_src_path).parent

    def absolute(match: re.Match[str]) -> str:
        target = (folder / match[1]).resolve()
        if target.is_relative_to(ROOT / "docs") or not target.exists():
            return match[0]
        return f"]({config.extra['repository']}/blob/main/{target.relative_to(ROOT)}{match[2]})"

    return re.sub(r"\]\((\.\./[^)#]+)(#[^)]*|)\)", absolute, markdown)
