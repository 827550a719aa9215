"""How a protocol tells an error."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple


class Problem(NamedTuple):
    """An error as a client sees it."""

    status: int
    kind: str  # a word that a program can compare with
    message: str
    param: str | None


@dataclass(frozen=True)
class Envelope:
    """`body` makes an error answer's JSON. `invalid` is the status for a body that is JSON but not as it should be."""

    body: Callable[[Problem], object]
    invalid: int = 422


NATIVE = Envelope(lambda problem: {"error": {"type": problem.kind, "message": problem.message, "param": problem.param}})

DEPTH = 3  # segments of a path that are looked at


class Envelopes:
    """The envelope of each path. One that no route has speaks as its neighbours do: /api/other as /api/embed."""

    def __init__(self, routes: Iterable[tuple[str, str, Envelope]]) -> None:
        """routes: method, path and envelope; of two that claim the same neighbours the first one gets them."""
        self._of_route: dict[tuple[str, str], Envelope] = {}
        self._below: dict[str, Envelope] = {}
        for method, path, envelope in routes:
            self._of_route.setdefault((method, path), envelope)
            self._below.setdefault(path, envelope)
            for start in _starts(path):
                self._below.setdefault(start, envelope)

    def at(self, method: str, path: str) -> Envelope:
        exact = self._of_route.get((method, path)) or self._below.get(path)
        return exact or next((self._below[start] for start in _starts(path) if start in self._below), NATIVE)


def _starts(path: str) -> list[str]:
    """ "/v1/models/a" → "/v1/models/", "/v1/": the longest first, and no more than DEPTH."""
    parts = path.split("/", DEPTH + 1)[1:-1]
    return ["/" + "/".join(parts[:count]) + "/" for count in range(len(parts), 0, -1)]
