"""The site that `make site` has built from docs/ is complete, can be searched, and loads nothing from another host."""

from __future__ import annotations

import json
import re

import pytest

from ..support.repository import ROOT

pytestmark = pytest.mark.site

SITE = ROOT / "build" / "site"


def test_every_page_is_there_and_can_be_searched():
    index = json.loads((SITE / "search" / "search_index.json").read_text(encoding="utf-8"))
    found = {entry["location"].partition("#")[0] for entry in index["docs"]}
    for page in (ROOT / "docs").rglob("*.md"):
        name = page.relative_to(ROOT / "docs").with_suffix(".html")
        assert (SITE / name).is_file()
        assert str(name) in found
        assert f'href="{name}"' in (SITE / "index.html").read_text(encoding="utf-8")


def test_it_loads_nothing_from_another_host():
    pages = [path.read_text(encoding="utf-8") for path in SITE.rglob("*.html")]
    assert len(pages) > 30
    for page in pages:
        tags = re.findall(r"<(?:script|link|img|iframe|source|form)\b[^>]*>", page)
        assert not [tag for tag in tags if re.search(r"""["'=](?:https?:)?//""", tag)]
        assert 'data-md-component="source"' not in page  # asks GitHub how many stars there are
        assert "mermaid" not in page  # its program comes from unpkg.com
    for style in SITE.rglob("*.css"):
        assert not re.search(r"""url\(["']?(?:https?:)?//""", style.read_text(encoding="utf-8"))
