"""docs/troubleshooting.md has every error that a user can meet."""

from __future__ import annotations

import re
from collections.abc import Iterator

from openclip_api.errors import OpenClipApiError, RequestError, RunError, StartupError
from openclip_api.server.shared.answer import STATUSES

from ..support.repository import ROOT

PAGE = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
ANSWERS, STARTS, RUNS = (re.findall(r"^\| (.*) \|$", part, re.MULTILINE) for part in PAGE.split("\n## ")[1:4])


def subclasses(kind: type[OpenClipApiError]) -> Iterator[type[OpenClipApiError]]:
    """Those of errors.py; others are particular cases of these, and are raised as such."""
    for subclass in kind.__subclasses__():
        if subclass.__module__ == kind.__module__:
            yield subclass
            yield from subclasses(subclass)


def test_each_status_and_type_of_an_answer_is_there():
    listed = {tuple(row.split(" | ")[:2]) for row in ANSWERS[1:]}
    expected = {(str(status), f"`{kind}`") for status, kind in STATUSES.values()}
    assert set(subclasses(RequestError)) <= STATUSES.keys()
    assert expected <= listed


def test_each_error_of_a_start_and_of_a_run_is_there():
    for rows, kind in ((STARTS, StartupError), (RUNS, RunError)):
        listed = {row.split(" | ")[1].strip("`") for row in rows[1:]}
        assert {error.__name__ for error in subclasses(kind)} == listed
