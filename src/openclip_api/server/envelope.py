"""How a protocol tells an error."""

from __future__ import annotations

from collections.abc import Callable
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
