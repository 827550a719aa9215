"""One writer at a time for each store. Readers need no lock."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from ..errors import CannotWrite, InvalidStore

LOCK = ".lock"
BEFORE_THE_TABLE = frozenset({LOCK, "_transactions", "_versions", "data"})  # what a creation that was cut off may leave


def has_table(path: Path) -> bool:
    """Whether there is a store. Raises InvalidStore where there is something else."""
    if not path.exists():
        return False
    if not path.is_dir():
        raise InvalidStore(f"{path}: not a store, but a file")
    if any(path.glob("_versions/*.manifest")):
        return True
    if others := sorted({file.name for file in path.iterdir()} - BEFORE_THE_TABLE):
        raise InvalidStore(f"{path}: holds {others[0]!r} and is no store; take another name")
    return False


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Wait until nobody else writes to the store. Where there is none yet, make its folder. Raises CannotWrite."""
    has_table(path)
    lock = FileLock(path / LOCK)
    try:
        path.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            print(f"{path}: another openclip-api index is using it; waiting until that one ends", file=sys.stderr)
            lock.acquire()
    except OSError as error:
        raise CannotWrite(f"{path}: {error.strerror}") from error
    try:
        yield
    finally:
        lock.release()
        if not has_table(path):  # nothing came of it
            with contextlib.suppress(OSError):
                (path / LOCK).unlink(missing_ok=True)
                path.rmdir()
