"""What a hub can do wrong: see hub_server.py."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass
class Fault:
    """Applies to requests whose path ends with `file`, `times` times (None: always)."""

    file: str = field(default=".safetensors", kw_only=True)
    times: int | None = field(default=None, kw_only=True)


@dataclass
class Cut(Fault):
    """A body ends after so many bytes; `reset` ends it with a TCP reset instead of a close."""

    after: int
    reset: bool = field(default=False, kw_only=True)


@dataclass
class Hang(Fault):
    """No byte comes any more after the first so many of a body; None: not even a status line."""

    after: int | None = None


@dataclass
class Slow(Fault):
    """A body comes in pieces of `block` bytes, with a pause before each."""

    pause: float
    block: int = 1 << 12


@dataclass
class Status(Fault):
    """An error status in place of the answer."""

    code: int
    headers: dict[str, str] = field(default_factory=dict)
    method: str | None = None


@dataclass
class Altered(Fault):
    """Other bytes than the ones that the ETag promises."""

    change: Callable[[bytes], bytes]


@dataclass
class WrongSize(Fault):
    """HEAD promises so many bytes more than GET sends."""

    by: int


@dataclass
class Portal(Fault):
    """A login page with status 200 in place of every answer, as in a hotel."""
